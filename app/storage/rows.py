"""From a row of `messages` to a `Message`: one place knows both."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

import asyncpg

from app.domain.channel import Channel
from app.domain.message import MESSAGE_COLUMNS, Message

__all__ = ["HELD_SELECTED", "SELECTED", "message_from_row", "removed_message"]

SELECTED: Final = ", ".join(
    "id::text AS id" if column == "id" else column for column in MESSAGE_COLUMNS
)
"""What `message_from_row` reads, for statements written as text."""
HELD_SELECTED: Final = ", ".join(
    "NULL::bigint AS sequence" if column == "sequence" else column
    for column in SELECTED.split(", ")
)
"""The same from `held_messages`, which have no place yet."""

_values: Final = itemgetter(*MESSAGE_COLUMNS)
_new: Final = Message.__new__


def message_from_row(channel: Channel, row: asyncpg.Record, *, held: bool = False) -> Message:
    """Return the message of a row that has (at least) `MESSAGE_COLUMNS`, its id as text.

    Args:
        channel: whose.
        row: its `sequence` is NULL where the message is held.
        held: whether it waits for a moderator.
    """
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
        attributes["publisher"],
    ) = _values(row)
    attributes["held"] = held
    return message


def removed_message(channel: Channel, values: Sequence[Any]) -> Message:
    """Return what a message was that a statement has removed.

    Args:
        channel: whose.
        values: the columns named `removed_…`, in the order of `MESSAGE_COLUMNS`.
    """
    return Message(channel, *values)
