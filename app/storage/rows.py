"""From a row of `messages` to a `Message`: one place knows both."""

from typing import Final

import asyncpg

from app.domain.channel import Channel
from app.domain.message import Message

__all__ = ["MESSAGE_COLUMNS", "message_from_row"]

MESSAGE_COLUMNS: Final = "sequence, id::text AS id, client_id, created, username, data"
"""What `message_from_row` reads, for statements written as text."""


def message_from_row(channel: Channel, row: asyncpg.Record) -> Message:
    """Return the message of a row that has (at least) `MESSAGE_COLUMNS`."""
    return Message(
        channel=channel,
        sequence=row["sequence"],
        id=str(row["id"]),
        client_id=row["client_id"],
        created=row["created"],
        username=row["username"],
        data_json=row["data"],
    )
