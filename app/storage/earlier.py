"""What was stored before something that is not stored: for who must not notice the difference."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.domain.channel import Channel
from app.domain.message import Draft, Message
from app.storage.database import Database
from app.storage.rows import HELD_SELECTED, SELECTED, message_from_row

__all__ = ["Earlier", "EarlierMessages"]

_NEIGHBOURS: Final = 100
"""Ids are in the order of their making, sequences in that of the commits: nearly the same."""

_OWNER: Final = "coalesce($2::text, 'client:' || $3::text)"
_OF_KEY: Final = f"""
    SELECT {SELECTED} FROM messages
    WHERE channel = $1 AND coalesce(publisher, 'client:' || client_id) = {_OWNER}
        AND idempotency_key = $4
"""  # noqa: S608  columns are ours
_HELD: Final = f"""
    SELECT {HELD_SELECTED} FROM held_messages
    WHERE channel = $1 AND coalesce(publisher, 'client:' || client_id) = {_OWNER}
        AND idempotency_key = $4
"""  # noqa: S608  columns are ours
_SPENT: Final = f"""
    SELECT 1 FROM retracted_messages
    WHERE channel = $1 AND key_owner = {_OWNER} AND idempotency_key = $4 LIMIT 1
"""  # noqa: S608
_PLACE_OF: Final = f"""
    SELECT coalesce(
        (SELECT min(sequence) - 1 FROM (
            SELECT sequence FROM messages WHERE channel = $1 AND id > $2
            ORDER BY id LIMIT {_NEIGHBOURS}
        ) AS later),
        (SELECT head FROM channels WHERE channel = $1),
        0
    ) AS sequence
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is known of a key."""

    message: Message | None
    """The publisher's message under it: the stored one, else the one that waits for a moderator."""
    spent: bool
    """Whether a moderator has retracted it: nothing can be published under the key any more."""


class EarlierMessages:
    """Reads it."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def of_key(self, draft: Draft) -> Earlier:
        """Return what is stored under a draft's idempotency key.

        Args:
            draft: with a key.

        Raises:
            Unavailable: the database is away.
        """
        key = (draft.channel.key, draft.publisher, draft.client_id, draft.idempotency_key)
        rows = await self._database.fetch(_OF_KEY, *key)
        if rows:
            return Earlier(message_from_row(draft.channel, rows[0]), spent=False)
        if await self._database.fetch(_SPENT, *key):
            return Earlier(None, spent=True)
        waiting = [
            message_from_row(draft.channel, row, held=True)
            for row in await self._database.fetch(_HELD, *key)
        ]
        return Earlier(waiting[0] if waiting else None, spent=False)

    async def place_of(self, channel: Channel, message_id: str) -> int:
        """Return the sequence after which what is newer than an id begins.

        Args:
            channel: whose.
            message_id: a UUID version 7; no message has it.

        Raises:
            Unavailable: the database is away.
        """
        rows = await self._database.fetch(_PLACE_OF, channel.key, UUID(message_id))
        return int(rows[0]["sequence"])
