"""From a row of `messages` to a `Message`: one place knows both."""

from operator import itemgetter
from typing import Final

import asyncpg

from app.domain.channel import Channel
from app.domain.message import MESSAGE_COLUMNS, Message

__all__ = ["SELECTED", "message_from_row"]

SELECTED: Final = ", ".join(
    "id::text AS id" if column == "id" else column for column in MESSAGE_COLUMNS
)
"""What `message_from_row` reads, for statements written as text."""

_values: Final = itemgetter(*MESSAGE_COLUMNS)
_new: Final = Message.__new__


def message_from_row(channel: Channel, row: asyncpg.Record) -> Message:
    """Return the message of a row that has (at least) `MESSAGE_COLUMNS`, its id as text."""
    # A frozen class' own way to set an attribute takes three times as long as all else here;
    # a test holds this one to it.
    message = _new(Message)
    attributes = message.__dict__
    attributes["channel"] = channel
    (
        attributes["sequence"],
        attributes["id"],
        attributes["client_id"],
        attributes["created"],
        attributes["username"],
        attributes["data_json"],
    ) = _values(row)
    return message
