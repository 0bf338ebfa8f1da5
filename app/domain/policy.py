"""The policy of a channel: who may publish what, when and how often.

A policy is changed field by field: what is left out stays as it is, and null is the default. It is
stored, and told to clients, as JSON with GraphQL's names.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from app.domain.blocked_words import words_of
from app.domain.data_schema import checked_schema
from app.domain.json_value import json_shown
from app.errors import BadUserInput, RateLimited, shown

__all__ = ["DEFAULT_POLICY", "ChannelPolicy", "Hold", "Pacing", "Writers", "policy_from_json"]

_MAX_SLOW_MODE_SECONDS: Final = 86_400
_MAX_RATE: Final = 100_000
_MAX_WORDS: Final = 500
_MAX_WORD_CHARACTERS: Final = 64
_MIN_RETENTION_SECONDS: Final = 60
_MAX_RETENTION_SECONDS: Final = 10 * 365 * 86_400
_LATEST: Final = 253_402_300_799_999
"""Of timestamps: the end of the year 9999."""


class Writers(StrEnum):
    """Who may publish."""

    EVERYONE = "EVERYONE"
    VERIFIED = "VERIFIED"
    """Whoever is proven by a token or by a client id that the server signed."""
    NOBODY = "NOBODY"


class Hold(StrEnum):
    """What becomes of a message that was accepted."""

    NONE = "NONE"
    UNTIL_APPROVED = "UNTIL_APPROVED"
    """It waits for a moderator."""


class Pacing(NamedTuple):
    """How often may be published, for one message."""

    pause_seconds: int
    """Between two messages of its publisher; 0: it need not wait."""
    per_second: int
    """Messages of its channel; 0: no bound."""

    def too_soon(self, wait_ms: int) -> RateLimited:
        """Return the refusal of slow mode: the publisher has to wait."""
        return RateLimited(
            "the channel is in slow mode: each publisher may send one message every "
            f"{self.pause_seconds} s; retry after {wait_ms} ms",
            wait_ms,
        )

    def too_many(self, wait_ms: int) -> RateLimited:
        """Return the refusal of the channel's rate: everybody has to wait."""
        return RateLimited(
            f"the channel accepts {self.per_second} messages per second; retry after {wait_ms} ms",
            wait_ms,
        )


class ChannelPolicy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a channel asks of those who publish to it; the default asks for nothing."""

    writers: Writers = Writers.EVERYONE
    slow_mode_seconds: int = 0
    """Between two messages of one publisher, up to a day; moderators are exempt."""
    max_publishes_per_second: int | None = None
    """Of the whole channel, 1 to 100,000; None: no bound."""
    opens_at: int | None = None
    """Milliseconds since the Unix epoch; None: it is open."""
    closes_at: int | None = None
    """Milliseconds since the Unix epoch, after `opens_at`; None: it stays open."""
    hold: Hold = Hold.NONE
    blocked_words: tuple[str, ...] = ()
    """At most 500, of 1 to 64 characters each."""
    data_schema: msgspec.Raw = msgspec.Raw(b"null")
    """JSON text of a JSON Schema, at most 32 KiB; null: any data."""
    retention_seconds: int | None = None
    """Messages are deleted when they are older, a minute to ten years; None: as the server does."""

    @property
    def has_schema(self) -> bool:
        """Whether data must satisfy a schema."""
        return bytes(self.data_schema) != b"null"

    def json(self) -> bytes:
        """Return all fields as JSON text, as GraphQL's `ChannelPolicy` has them."""
        return msgspec.json.encode(self)

    def changed(self, change: Mapping[str, object]) -> "ChannelPolicy":
        """Return the policy with some fields changed.

        Args:
            change: values of decoded JSON by GraphQL's names; None is the default, and what is
                not there stays as it is.

        Raises:
            BadUserInput: a value is out of bounds, or the fields contradict each other.
            PayloadTooLarge: the schema has more than 32 KiB.
        """
        values: dict[str, Any] = {
            name: getattr(DEFAULT_POLICY, name)
            if change[graphql] is None
            else _CHECKED[name](graphql, change[graphql])
            for name, graphql in zip(
                self.__struct_fields__, self.__struct_encode_fields__, strict=True
            )
            if graphql in change
        }
        policy = msgspec.structs.replace(self, **values)
        opens_at, closes_at = policy.opens_at, policy.closes_at
        if opens_at is not None and closes_at is not None and opens_at >= closes_at:
            raise BadUserInput(
                f"opensAt is {opens_at} and closesAt is {closes_at}; opensAt must be before "
                "closesAt"
            )
        return policy


DEFAULT_POLICY: Final = ChannelPolicy()
"""Of every channel that none was set for."""

_decoder: Final = msgspec.json.Decoder(ChannelPolicy)


def policy_from_json(text: bytes | str) -> ChannelPolicy:
    """Return the policy that `json` once gave; fields of later versions are left aside.

    Raises:
        ValueError: it is no such text.
    """
    return _decoder.decode(text)


def _integer(least: int, most: int, name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise BadUserInput(f"{name} is {json_shown(value)}; allowed: {least} to {most}")


def _choice(kind: type[StrEnum], name: str, value: object) -> StrEnum:
    if isinstance(value, str) and value in kind.__members__:
        return kind(value)
    allowed = ", ".join(kind.__members__)
    raise BadUserInput(f"{name} is {json_shown(value)}; allowed: {allowed}")


def _words(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise BadUserInput(f"{name} is {json_shown(value)}; expected a list of words")
    if len(value) > _MAX_WORDS:
        raise BadUserInput(f"{name} has {len(value)} words; allowed: at most {_MAX_WORDS}")
    for place, word in enumerate(value):
        if not (
            isinstance(word, str)
            and 1 <= len(word) <= _MAX_WORD_CHARACTERS
            and word.isprintable()
            and words_of(word)
        ):
            came = shown(word) if isinstance(word, str) else json_shown(word)
            raise BadUserInput(
                f"{name}[{place}] is {came}; expected 1 to {_MAX_WORD_CHARACTERS} printable "
                "characters with at least one letter, digit or symbol"
            )
    return tuple(dict.fromkeys(value))


def _schema(_name: str, value: object) -> msgspec.Raw:
    return msgspec.Raw(checked_schema(value))


_timestamp: Final = partial(_integer, 0, _LATEST)
_CHECKED: Final[Mapping[str, Callable[[str, object], object]]] = {
    "writers": partial(_choice, Writers),
    "slow_mode_seconds": partial(_integer, 0, _MAX_SLOW_MODE_SECONDS),
    "max_publishes_per_second": partial(_integer, 1, _MAX_RATE),
    "opens_at": _timestamp,
    "closes_at": _timestamp,
    "hold": partial(_choice, Hold),
    "blocked_words": _words,
    "data_schema": _schema,
    "retention_seconds": partial(_integer, _MIN_RETENTION_SECONDS, _MAX_RETENTION_SECONDS),
}
