"""Held messages in the table: read in the order of arrival, approved and rejected."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from app.domain.channel import Channel
from app.domain.entry import Retraction, StoredEntry
from app.domain.message import MESSAGE_COLUMNS, Message
from app.storage.database import Database, DatabaseLost
from app.storage.rows import HELD_SELECTED, SELECTED, message_from_row, removed_message

__all__ = ["Arrival", "HeldMessages"]

_AFTER: Final = f"""
    SELECT arrival, {HELD_SELECTED} FROM held_messages
    WHERE channel = $1 AND arrival > $2 ORDER BY arrival LIMIT $3
"""  # noqa: S608  (no value is in the text)
_ARRIVALS: Final = "SELECT channel, arrivals FROM channels WHERE channel = ANY ($1::text[])"
_APPROVE: Final = f"""
    SELECT {SELECTED}, retraction_id::text AS retraction_id,
        removed_sequence, removed_id::text AS removed_id, removed_client_id, removed_created,
        removed_username, removed_data, removed_publisher
    FROM approve_messages($1, $2::uuid[], $3)
"""  # noqa: S608
# The rows are joined to the lock: none is touched before it is held.
_GONE: Final = """
    WITH locked AS MATERIALIZED (SELECT channel FROM channels WHERE channel = $1 FOR UPDATE),
    gone AS (
        DELETE FROM held_messages AS h USING locked
        WHERE h.channel = locked.channel AND h.channel = $1 AND h.id = ANY ($2::uuid[]) {whose}
        RETURNING 1
    )
    SELECT count(*) AS gone FROM gone
"""
_REJECT: Final = _GONE.format(whose="")
_WITHDRAW: Final = _GONE.format(whose="AND h.publisher = $3")
_TRIES: Final = 3


class Arrival(NamedTuple):
    """A held message, and when it came."""

    number: int
    """From 1 in each channel, in the order of the commits."""
    message: Message


class HeldMessages:
    """Those that wait in each channel."""

    def __init__(
        self, database: Database, on_stored: Callable[[Sequence[StoredEntry]], None]
    ) -> None:
        """Take the connections.

        Args:
            database: where `approve_messages` is.
            on_stored: told of what was approved right after the commit; must not raise.
        """
        self._database = database
        self._on_stored = on_stored

    async def after(self, channel: Channel, number: int, limit: int) -> list[Arrival]:
        """Return what waits and has come after a number, oldest first.

        Args:
            channel: where.
            number: of an arrival; 0: before the first.
            limit: the most to return.

        Raises:
            Unavailable: the database is away.
        """
        rows = await self._database.fetch(_AFTER, channel.key, number, limit)
        return [Arrival(row["arrival"], message_from_row(channel, row, held=True)) for row in rows]

    async def newest(self, channels: Sequence[Channel]) -> dict[Channel, int]:
        """Return the number of the last that has come to each channel; 0: none ever has.

        Raises:
            Unavailable: the database is away.
        """
        keys = [channel.key for channel in channels]
        rows = await self._database.fetch(_ARRIVALS, keys)
        numbers = {row["channel"]: row["arrivals"] for row in rows}
        return {channel: numbers.get(channel.key, 0) for channel in channels}

    async def approve(self, channel: Channel, ids: Sequence[str]) -> int:
        """Publish those of some messages that wait, in this order; return how many.

        One transaction. Those whose key was used, or spent by a moderator, since they came are
        dropped and do not count.

        Args:
            channel: where.
            ids: of messages, as UUIDs, each once. What does not wait is passed over.

        Raises:
            Unavailable: the database is away. Whether it happened may be open; to ask again does
                no harm.
        """
        again = False
        for left in reversed(range(_TRIES)):
            try:
                rows = await self._database.fetch(_APPROVE, channel.key, list(ids), again)
                break
            except DatabaseLost:
                if not left:
                    raise
                again = True
        entries: list[StoredEntry] = []
        for row in rows:
            message = message_from_row(channel, row)
            if row["removed_id"] is not None:
                removed = removed_message(
                    channel, [row[f"removed_{name}"] for name in MESSAGE_COLUMNS]
                )
                entries.append(
                    Retraction(
                        channel,
                        row["sequence"] - 1,
                        row["retraction_id"],
                        message.created,
                        (removed.id,),
                        removed=(removed,),
                    )
                )
            entries.append(message)
        self._on_stored(entries)
        return len(rows)

    async def reject(self, channel: Channel, ids: Sequence[str]) -> int:
        """Delete those of some messages that wait; return how many.

        Args:
            channel: where.
            ids: of messages, as UUIDs.

        Raises:
            Unavailable: the database is away. It may have happened; to ask again does no harm.
        """
        return await self._gone(_REJECT, channel.key, list(ids))

    async def withdraw(self, channel: Channel, ids: Sequence[str], publisher: str) -> int:
        """Delete those that wait and are this publisher's; return how many.

        Args:
            channel: where.
            ids: of messages, as UUIDs.
            publisher: as `Viewer.publisher` says it.

        Raises:
            Unavailable: as for `reject`.
        """
        return await self._gone(_WITHDRAW, channel.key, list(ids), publisher)

    async def _gone(self, sql: str, *parameters: object) -> int:
        rows = await self._database.fetch(sql, *parameters)
        count: int = rows[0]["gone"]
        return count
