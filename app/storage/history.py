"""Reading a channel in its own order: what resumes, replays and holes are filled from."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg

from app.domain.channel import Channel
from app.domain.entry import Retraction, StoredEntry
from app.domain.message import MESSAGE_COLUMNS, Head, Message
from app.storage.database import Database
from app.storage.rows import SELECTED, message_from_row

__all__ = ["MessageHistory"]

_NO_MESSAGE: Final = ", ".join(
    {"sequence": "sequence", "id": "id::text", "created": "created"}.get(column, "NULL")
    for column in MESSAGE_COLUMNS
)
_PLACES: Final = "channel = $1 AND sequence > $2 AND sequence <= $3"
_RANGE: Final = f"""
    (SELECT {SELECTED}, NULL::uuid[] AS ids, NULL AS reason FROM messages
     WHERE {_PLACES} ORDER BY sequence LIMIT $4)
    UNION ALL
    (SELECT {_NO_MESSAGE}, ids, reason FROM retractions WHERE {_PLACES} ORDER BY sequence LIMIT $4)
    ORDER BY sequence LIMIT $4
"""  # noqa: S608  columns are ours
_BY_ID: Final = f"SELECT {SELECTED} FROM messages WHERE channel = $1 AND id = $2"  # noqa: S608
_SEQUENCE_OF: Final = " UNION ALL ".join(
    f"SELECT sequence FROM {table} WHERE channel = $1 AND id = $2"  # noqa: S608  names are ours
    for table in ("messages", "retracted_messages", "retractions")
)
_NEWEST_ID: Final = """
    (SELECT id::text, sequence FROM messages
     WHERE channel = $1 AND sequence <= $2 ORDER BY sequence DESC LIMIT 1)
    UNION ALL
    (SELECT id::text, sequence FROM retractions
     WHERE channel = $1 AND sequence <= $2 ORDER BY sequence DESC LIMIT 1)
    ORDER BY sequence DESC LIMIT 1
"""
_BEFORE_LAST: Final = """
    SELECT sequence FROM messages
    WHERE channel = $1 AND sequence <= $2 ORDER BY sequence DESC OFFSET $3 LIMIT 1
"""
_HEADS: Final = (
    "SELECT channel, head, last_created, removed, retracted FROM channels "
    "WHERE channel = ANY($1::text[])"
)


class MessageHistory:
    """What is stored of channels, by sequence."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        """Return where each channel's order ends."""
        rows = await self._database.fetch(_HEADS, [channel.key for channel in channels])
        found = {row["channel"]: Head(*row[1:]) for row in rows}
        return {channel: found.get(channel.key, Head(0, 0)) for channel in channels}

    async def between(
        self, channel: Channel, after: int, up_to: int, limit: int
    ) -> list[StoredEntry]:
        """Return what is stored with `after` < sequence <= `up_to`, in order.

        Args:
            channel: whose.
            after: a sequence, exclusive; 0: from the first message on.
            up_to: a sequence, inclusive.
            limit: entries at the most; fewer than asked for means that `up_to` is reached.
        """
        rows = await self._database.fetch(_RANGE, channel.key, after, up_to, limit)
        return [_entry(channel, row) for row in rows]

    def forget(self, channel: Channel) -> None:
        """Nothing that was read is kept."""

    async def by_id(self, channel: Channel, message_id: str) -> Message | None:
        """Return a message of the channel, or None where it has none of that id."""
        if (parsed := _parsed(message_id)) is None:
            return None
        rows = await self._database.fetch(_BY_ID, channel.key, parsed)
        return message_from_row(channel, rows[0]) if rows else None

    async def sequence_of(self, channel: Channel, cursor: str) -> int | None:
        """Return the place of a cursor: of a message, retracted or not, or of a retraction.

        Returns:
            None where the channel has none of that id, or has it no more.
        """
        if (parsed := _parsed(cursor)) is None:
            return None
        rows = await self._database.fetch(_SEQUENCE_OF, channel.key, parsed)
        return rows[0]["sequence"] if rows else None

    async def newest_id(self, channel: Channel, up_to: int) -> str | None:
        """Return the cursor of the last that is stored up to a sequence; None: nothing is."""
        rows = await self._database.fetch(_NEWEST_ID, channel.key, up_to)
        return rows[0]["id"] if rows else None

    async def before_last(self, channel: Channel, up_to: int, number: int) -> int:
        """Return the sequence after which the last messages up to another begin.

        Args:
            channel: whose.
            up_to: a sequence, inclusive.
            number: how many messages there are after it, if there are as many.
        """
        rows = await self._database.fetch(_BEFORE_LAST, channel.key, up_to, number)
        return rows[0]["sequence"] if rows else 0


def _entry(channel: Channel, row: asyncpg.Record) -> StoredEntry:
    if row["ids"] is None:
        return message_from_row(channel, row)
    return Retraction(
        channel,
        row["sequence"],
        row["id"],
        row["created"],
        tuple(map(str, row["ids"])),
        row["reason"],
    )


def _parsed(cursor: str) -> UUID | None:
    try:
        # Postgres takes more spellings of a UUID than the canonical one; so does Python.
        return UUID(cursor)
    except ValueError:
        return None
