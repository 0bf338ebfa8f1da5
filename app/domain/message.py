"""The message: one published record, immutable from the moment it is made."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from app.domain.channel import Channel
from app.domain.json_value import JsonValue, decode_json

__all__ = ["Draft", "Head", "Message"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that was accepted and has no place in its channel's order yet."""

    channel: Channel
    id: str
    client_id: str
    username: str | None
    data_json: bytes
    idempotency_key: str | None = None
    publisher: str | None = None
    """Who publishes, as `Viewer.publisher` says it; None: nobody knows but by the client id."""

    @property
    def repeat_key(self) -> tuple[str, str | None, str, str] | None:
        """What makes a draft the same as an earlier one; None: nothing does.

        The idempotency key belongs to the publisher in the channel, and to the client id as
        claimed only where that is all there is.
        """
        if self.idempotency_key is None:
            return None
        claimed = self.client_id if self.publisher is None else ""
        return self.channel.key, self.publisher, claimed, self.idempotency_key


class Head(NamedTuple):
    """Where a channel's order ends."""

    sequence: int
    """Of the newest stored message; 0: there is none."""
    created: int
    """Its `created`; 0: there is none."""


@dataclass(frozen=True)
class Message:
    """One published record.

    `data_json` is the compact JSON text of `data`: it goes from Postgres to the wire
    without being decoded, and is decoded at most once, when a filter looks into it.
    """

    channel: Channel
    sequence: int | None
    """The place in the channel's order, from 1; None: not stored."""
    id: str
    """UUID version 7, canonical text; the resume cursor."""
    client_id: str
    created: int
    """Milliseconds since the Unix epoch; never runs backwards within a channel."""
    username: str | None
    data_json: bytes

    @property
    def persistent(self) -> bool:
        """Whether it is stored."""
        return self.sequence is not None

    @cached_property
    def data(self) -> JsonValue:
        """The decoded `data_json`."""
        return decode_json(self.data_json)
