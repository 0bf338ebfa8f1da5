"""The channels of a project: what their counters tell, without a look at a message."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.channel import Channel
from app.storage.database import Database

__all__ = ["ChannelStore", "KnownChannel"]

# A channel that somebody listens to and nobody has published to has no counter yet. The keys of
# a project are those between its slash and the character after it: under COLLATE "C" by bytes.
# There is no index on `last_created`: every publish would pay for it, and 100,000 channels are
# sorted in some 60 ms.
_KNOWN: Final = """
    SELECT channel, head - removed AS messages, last_created FROM channels
    WHERE channel > $1 || '/' AND channel < $1 || '0'
    UNION ALL
    SELECT channel, 0, 0 FROM presence AS p
    WHERE channel > $1 || '/' AND channel < $1 || '0'
        AND NOT EXISTS (SELECT FROM channels AS c WHERE c.channel = p.channel)
        AND EXISTS (
            SELECT FROM processes AS l
            WHERE l.process_id = p.process_id AND l.expires_at > now()
        )
    GROUP BY channel
"""
_PAGE: Final = f"""
    SELECT known.channel, messages, last_created FROM ({_KNOWN}) AS known
    CROSS JOIN LATERAL (
        SELECT coalesce((SELECT c.last_created FROM channels AS c WHERE c.channel = $2), 0)
    ) AS cursor (created)
    WHERE $2::text IS NULL OR last_created < cursor.created
        OR (last_created = cursor.created AND known.channel > $2)
    ORDER BY last_created DESC, known.channel
    LIMIT $3
"""  # noqa: S608  our own text
_EXISTS: Final = f"SELECT FROM ({_KNOWN}) AS known WHERE channel = $2"


@dataclass(frozen=True, slots=True)
class KnownChannel:
    """A channel by its counters."""

    channel: Channel
    messages: int
    """Stored now."""
    last_created: int | None
    """When the newest message was published, deleted or not; None: none ever was."""


class ChannelStore:
    """The channels that the database knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def most_recent(
        self, project_id: str, limit: int, after: Channel | None
    ) -> Sequence[KnownChannel]:
        """Return a project's channels, the most recently written first, ties by name.

        Args:
            project_id: whose.
            limit: at the most.
            after: only those that come after this channel, which is known, by where it stands
                now; None: all.
        """
        key = None if after is None else after.key
        rows = await self._database.fetch(_PAGE, project_id, key, limit)
        return [
            KnownChannel(
                Channel.from_key(row["channel"]), row["messages"], row["last_created"] or None
            )
            for row in rows
        ]

    async def knows(self, channel: Channel) -> bool:
        """Return whether the channel was ever written to, or somebody is connected to it."""
        return bool(await self._database.fetch(_EXISTS, channel.project_id, channel.key))
