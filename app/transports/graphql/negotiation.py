"""Which media type answers a request: the Accept header against what an operation can be.

GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/#sec-Media-Types) for
the JSON types, the graphql-sse protocol for event streams, Apollo's for multipart ones.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

__all__ = ["MediaType", "Preferences"]


class MediaType(StrEnum):
    """What `/graphql` can answer with, for GraphQL."""

    JSON = "application/json"
    GRAPHQL_JSON = "application/graphql-response+json"
    EVENT_STREAM = "text/event-stream"
    MULTIPART = "multipart/mixed"


_ONE_RESPONSE: Final = (MediaType.JSON, MediaType.GRAPHQL_JSON)
_STREAMS: Final = (MediaType.MULTIPART, MediaType.EVENT_STREAM)
_MAX_RANGES: Final = 50
_MAX_KEPT_CHARACTERS: Final = 500
"""A header may have 64 KiB; browsers send a hundred."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """A parsed Accept header: media ranges with their quality, in the order written."""

    ranges: tuple[tuple[str, float], ...]
    _one_response: MediaType | None = field(init=False)

    def __post_init__(self) -> None:
        # Once: it is asked for with every request.
        chosen = self._best(_ONE_RESPONSE)
        if chosen is None and self._quality(MediaType.EVENT_STREAM):
            chosen = MediaType.EVENT_STREAM
        object.__setattr__(self, "_one_response", chosen)

    @classmethod
    def of(cls, accept: str | None) -> "Preferences":
        """Return the preferences of a header; none, or an empty one, accepts anything.

        Clients send one of a handful of short ones, so the last few of those are kept.
        """
        if accept is not None and len(accept) > _MAX_KEPT_CHARACTERS:
            return cls._read(accept)
        return cls._kept(accept)

    @classmethod
    @lru_cache(maxsize=256)
    def _kept(cls, accept: str | None) -> "Preferences":
        return cls._read(accept)

    @classmethod
    def _read(cls, accept: str | None) -> "Preferences":
        if accept is None or not accept.strip():
            return cls((("*/*", 1.0),))
        ranges = []
        for part in accept.split(",")[:_MAX_RANGES]:
            name, *parameters = (piece.strip().lower() for piece in part.split(";"))
            if name:
                ranges.append((name, _quality(parameters)))
        return cls(tuple(ranges))

    def one_response(self) -> MediaType | None:
        """Return the type for a query or mutation; None: nothing we have is accepted.

        A client that accepts event streams and nothing else gets one; to all others, those
        that list a stream type before JSON included, a query is answered as JSON.
        """
        return self._one_response

    def stream(self) -> MediaType | None:
        """Return the type for a subscription; None: the client accepts no stream.

        A wildcard is no wish for a stream: a client must name its type.
        """
        return self._best(_STREAMS, named_only=True)

    def html(self) -> bool:
        """Return whether this is a browser that wants a page."""
        return any(name == "text/html" and quality for name, quality in self.ranges)

    def _best(
        self, offered: tuple[MediaType, ...], *, named_only: bool = False
    ) -> MediaType | None:
        best: tuple[float, MediaType] | None = None
        named = {name for name, _ in self.ranges}
        for media_type in offered:
            if named_only and media_type not in named:
                continue
            quality = self._quality(media_type)
            # Of equals, the one that the client wrote itself wins over one it merely allows.
            weight = quality + (0.0001 if media_type in named else 0)
            if quality and (best is None or weight > best[0]):
                best = (weight, media_type)
        return best[1] if best else None

    def _quality(self, media_type: MediaType) -> float:
        # RFC 9110, 12.5.1: "the most specific reference has precedence".
        for wanted in (media_type.value, media_type.value.partition("/")[0] + "/*", "*/*"):
            for name, quality in self.ranges:
                if name == wanted:
                    return quality
        return 0.0


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0
