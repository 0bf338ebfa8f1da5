"""Reading a channel in its own order: what resumes, replays and holes are filled from."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from app.domain.channel import Channel
from app.domain.message import Head, Message
from app.storage.database import Database
from app.storage.rows import SELECTED, message_from_row

__all__ = ["MessageHistory"]

_RANGE: Final = f"""
    SELECT {SELECTED} FROM messages
    WHERE channel = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence LIMIT $4
"""  # noqa: S608  columns are ours
_BY_ID: Final = f"SELECT {SELECTED} FROM messages WHERE channel = $1 AND id = $2"  # noqa: S608
_HEADS: Final = (
    "SELECT channel, head, last_created, removed FROM channels WHERE channel = ANY($1::text[])"
)


class MessageHistory:
    """The stored messages of channels, by sequence."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        """Return where each channel's order ends."""
        rows = await self._database.fetch(_HEADS, [channel.key for channel in channels])
        found = {row["channel"]: Head(*row[1:]) for row in rows}
        return {channel: found.get(channel.key, Head(0, 0)) for channel in channels}

    async def between(self, channel: Channel, after: int, up_to: int, limit: int) -> list[Message]:
        """Return the messages with `after` < sequence <= `up_to`, in order.

        Args:
            channel: whose.
            after: a sequence, exclusive; 0: from the first message on.
            up_to: a sequence, inclusive.
            limit: messages at the most; fewer than asked for means that `up_to` is reached.
        """
        rows = await self._database.fetch(_RANGE, channel.key, after, up_to, limit)
        return [message_from_row(channel, row) for row in rows]

    def forget(self, channel: Channel) -> None:
        """Nothing that was read is kept."""

    async def by_id(self, channel: Channel, message_id: str) -> Message | None:
        """Return a message of the channel, or None where it has none of that id."""
        try:
            # Postgres takes more spellings of a UUID than the canonical one; so does Python.
            parsed = UUID(message_id)
        except ValueError:
            return None
        rows = await self._database.fetch(_BY_ID, channel.key, parsed)
        return message_from_row(channel, rows[0]) if rows else None
