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


def message_from_row(channel: Channel, row: asyncpg.Record) -> Message:
    """Return the message of a row that has (at least) `MESSAGE_COLUMNS`, its id as text."""
    return Message(channel, *_values(row))
