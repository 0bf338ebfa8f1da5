"""The message: one published record, immutable from the moment it is made.

`MESSAGE_FIELDS` names its fields wherever they have a name: in GraphQL, on the legacy wire, in
queries, in the table's columns. What reads or writes a whole message is made from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from app.domain.channel import Channel
from app.domain.json_value import JsonValue, decode_json

__all__ = [
    "MESSAGE_COLUMNS",
    "MESSAGE_FIELDS",
    "Draft",
    "Head",
    "Message",
    "MessageField",
    "OnRepeat",
]


class OnRepeat(StrEnum):
    """What an idempotency key means that the publisher used before in the channel."""

    KEEP = "KEEP"
    """The first message stays and is returned."""
    REPLACE = "REPLACE"
    """The earlier message is retracted, and the new one stored."""


@dataclass(slots=True)  # not frozen: that doubles the time it takes to make one
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
    retraction_id: str | None = None
    """The id of the retraction that the draft makes of the publisher's earlier message under the
    same key, if there is one; None: the earlier message is kept."""

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

    def placed(self, sequence: int | None, created: int) -> "Message":
        """Return the message that it has become.

        Args:
            sequence: its place in the channel's order; None: not stored.
            created: milliseconds since the Unix epoch.
        """
        # A frozen class' own way to set its attributes takes three times as long, with each
        # publish; a test holds this one to it.
        message = Message.__new__(Message)
        message.__dict__.update(
            channel=self.channel,
            sequence=sequence,
            id=self.id,
            client_id=self.client_id,
            created=created,
            username=self.username,
            data_json=self.data_json,
            publisher=self.publisher,
            held=False,
        )
        return message

    def held(self, created: int) -> "Message":
        """Return the message that waits for a moderator.

        Args:
            created: when it arrived; milliseconds since the Unix epoch.
        """
        return replace(self.placed(None, created), held=True)


class Head(NamedTuple):
    """Where a channel's order ends."""

    sequence: int
    """Of the newest stored message; 0: there is none."""
    created: int
    """Its `created`; 0: there is none."""
    removed: int = 0
    """Sequences that are no message any more: `sequence - removed` messages are stored."""
    retracted: int = 0
    """Those of them that are so because of retractions: what was retracted, and each retraction.
    The others were deleted."""


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
    publisher: str | None = None
    """Who published it, as the draft says; clients are not told."""
    held: bool = False
    """Whether it waits for a moderator: then it has no place yet."""

    @property
    def persistent(self) -> bool:
        """Whether it is stored."""
        return self.sequence is not None or self.held

    @property
    def verified(self) -> bool:
        """Whether its publisher is proven: by a token, or by an id that the server signed."""
        # What was stored before publishers were has a user name where there was a token.
        return self.publisher is not None or self.username is not None

    @property
    def size(self) -> int:
        """Bytes of its data: what queues of messages are bounded by."""
        return len(self.data_json)

    @property
    def raw_data(self) -> msgspec.Raw:
        """`data_json` as an encoder takes it: copied into the text around it."""
        return msgspec.Raw(self.data_json)

    @cached_property
    def data(self) -> JsonValue:
        """The decoded `data_json`."""
        return decode_json(self.data_json)


class MessageField(NamedTuple):
    """One field of a message, by all its names."""

    name: str
    """In queries, and of the table's column."""
    graphql: str
    legacy: str | None
    """On the legacy wire; None: not told there."""
    searchable: bool
    """Whether a query may filter, sort and group by it; by `name` or `graphql`."""
    stored: str | None
    """The attribute of `Message` that is the column's value; None: it has no column."""
    value: str
    """The attribute of `Message` that JSON is encoded from."""


MESSAGE_FIELDS: Final[Sequence[MessageField]] = (
    # In the order of the legacy record.
    MessageField("id", "id", "id", True, "id", "id"),
    MessageField("client_id", "clientId", "client_id", True, "client_id", "client_id"),
    MessageField("created", "created", "created", True, "created", "created"),
    MessageField("data", "data", "data", True, "data_json", "raw_data"),
    MessageField("username", "username", "username", True, "username", "username"),
    MessageField("persistent", "persistent", None, False, None, "persistent"),
    MessageField("verified", "verified", None, False, None, "verified"),
    MessageField("held", "held", None, False, None, "held"),
)
"""The fields that clients see."""

_STORED: Final = {"sequence": "sequence", "publisher": "publisher"} | {
    field.stored: field.name for field in MESSAGE_FIELDS if field.stored is not None
}

MESSAGE_COLUMNS: Final = tuple(
    _STORED[field.name] for field in fields(Message) if field.name in _STORED
)
"""The columns of a message, in the order of its attributes: `Message(channel, *row)`."""
