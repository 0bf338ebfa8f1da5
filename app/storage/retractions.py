"""Taking messages back: one statement, one commit, one place in the channel's order."""

from collections.abc import Callable, Sequence
from typing import Final

from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.entry import Retraction, StoredEntry
from app.domain.message import Message
from app.storage.database import Database, DatabaseLost
from app.storage.rows import removed_message

__all__ = ["ForeignMessageError", "MessageRetractions"]

_RETRACT: Final = """
    SELECT sequence, created, retracted, foreign_id::text AS foreign_id,
        removed_sequence, removed_id::text AS removed_id, removed_client_id, removed_created,
        removed_username, removed_data, removed_publisher
    FROM retract_messages($1, $2::uuid[], $3, $4, $5::uuid, $6)
"""
_IDS: Final = "SELECT ids::text[] AS ids FROM retractions WHERE channel = $1 AND sequence = $2"
_TRIES: Final = 3


class ForeignMessageError(Exception):
    """Somebody else published one of the messages; nothing was retracted."""

    def __init__(self, message_id: str) -> None:
        super().__init__(message_id)
        self.message_id = message_id


class MessageRetractions:
    """Retracts stored messages."""

    def __init__(
        self, database: Database, on_stored: Callable[[Sequence[StoredEntry]], None]
    ) -> None:
        """Take the connections.

        Args:
            database: where `retract_messages` is.
            on_stored: told of each retraction right after its commit; must not raise.
        """
        self._database = database
        self._on_stored = on_stored

    async def retract(
        self,
        channel: Channel,
        ids: Sequence[str],
        *,
        retractor: str | None,
        any_publisher: bool,
        reason: str | None = None,
    ) -> int:
        """Retract those of some messages that are stored; return how many.

        Args:
            channel: whose.
            ids: of messages, as UUIDs. Those that the channel does not have, or not any more,
                are passed over.
            retractor: who retracts, as `Viewer.publisher` says it. A key of somebody else's
                message is spent.
            any_publisher: whether messages of others may be retracted.
            reason: told to whoever listens.

        Raises:
            ForeignMessageError: a message is of somebody else and may not be retracted.
            Unavailable: the database is away. Whether it happened may be open; to ask again does
                no harm.
        """
        # The same id for each try: an earlier one may have been committed.
        parameters = (channel.key, list(ids), retractor, any_publisher, str(uuid7()), reason)
        for left in reversed(range(_TRIES)):
            try:
                rows = await self._database.fetch(_RETRACT, *parameters)
                break
            except DatabaseLost:
                if not left:
                    raise
        if not rows:
            return 0
        sequence, created, retracted, foreign_id = rows[0][:4]
        if foreign_id is not None:
            raise ForeignMessageError(foreign_id)
        removed: tuple[Message, ...] | None = None
        if rows[0]["removed_id"] is None:
            # An earlier try was committed, and its answer lost: what was removed is gone with it.
            kept = await self._database.fetch(_IDS, channel.key, sequence)
            gone = tuple(one for row in kept for one in row["ids"])
        else:
            removed = tuple(removed_message(channel, row[4:]) for row in rows)
            gone = tuple(message.id for message in removed)
        retraction_id = parameters[4]
        self._on_stored(
            [Retraction(channel, sequence, retraction_id, created, gone, reason, removed)]
        )
        count: int = retracted
        return count
