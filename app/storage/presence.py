"""Connection counts in the table: one row a process and channel, counted while its lease lives."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.domain.channel import Channel
from app.storage.database import Database

__all__ = ["PresenceStore"]

_RENEW: Final = """
    INSERT INTO processes (process_id, expires_at)
    VALUES ($1, now() + make_interval(secs => $2))
    ON CONFLICT (process_id) DO UPDATE SET expires_at = excluded.expires_at
    RETURNING xmax = 0 AS new
"""
_WRITE: Final = """
    WITH lease AS (
        INSERT INTO processes (process_id, expires_at)
        VALUES ($1, now() + make_interval(secs => $2))
        ON CONFLICT (process_id) DO UPDATE SET expires_at = excluded.expires_at
    ), gone AS (
        DELETE FROM presence AS p
        USING unnest($3::text[], $4::bigint[]) AS n (channel, connections)
        WHERE p.process_id = $1 AND p.channel = n.channel AND n.connections = 0
    )
    INSERT INTO presence (channel, process_id, connections)
    SELECT n.channel, $1, n.connections
    FROM unnest($3::text[], $4::bigint[]) AS n (channel, connections)
    WHERE n.connections > 0
    ON CONFLICT (channel, process_id) DO UPDATE SET connections = excluded.connections
"""
_OTHERS: Final = """
    SELECT p.channel, sum(p.connections)::bigint AS connections
    FROM presence AS p JOIN processes AS l ON l.process_id = p.process_id
    WHERE p.channel = ANY($1::text[]) AND p.process_id <> $2 AND l.expires_at > now()
        -- One that ends later than any lease was written before the clock was set back. Whoever
        -- lives writes it anew with the next heartbeat; the dead must not be counted until then.
        AND l.expires_at <= now() + make_interval(secs => $3)
    GROUP BY p.channel
"""
_LEAVE: Final = """
    WITH lease AS (DELETE FROM processes WHERE process_id = $1)
    DELETE FROM presence WHERE process_id = $1
"""
_SWEEP: Final = """
    WITH dead AS (
        DELETE FROM processes WHERE expires_at < now() - interval '1 minute'
        RETURNING process_id
    )
    DELETE FROM presence AS p USING dead WHERE p.process_id = dead.process_id
"""


_LONGEST_LEASES: Final = 4
"""Another process may have a lease of so many times this one's: settings change one at a time."""


class PresenceStore:
    """The counts of this process, and the sums of all others."""

    def __init__(
        self,
        database: Database,
        process_id: str,
        lease_seconds: float,
        *,
        writing: Database | None = None,
    ) -> None:
        """Take the database and the lease's length.

        Args:
            database: where counts are read, for whoever asks.
            process_id: a UUID, of this process alone.
            lease_seconds: a process silent for longer is not counted any more.
            writing: the connections that keep the lease, so that no number of readers costs
                it; None: those of `database`.
        """
        self._database = database
        self._writing = writing or database
        self._process_id = process_id
        self._lease = lease_seconds

    async def renew(self) -> bool:
        """Keep this process's lease alive; return whether there was none to keep."""
        rows = await self._writing.fetch(_RENEW, self._process_id, self._lease)
        return bool(rows[0]["new"])

    async def write(self, counts: Mapping[Channel, int]) -> None:
        """Set this process's counts of some channels, and renew the lease."""
        # In the order of the names: two writers never wait for each other in a circle.
        ordered = sorted(counts.items(), key=lambda item: item[0].key)
        await self._writing.fetch(
            _WRITE,
            self._process_id,
            self._lease,
            [channel.key for channel, _ in ordered],
            [count for _, count in ordered],
        )

    async def others(self, channels: Sequence[Channel]) -> dict[Channel, int]:
        """Return how many connections the other living processes hold, per channel."""
        keys = [channel.key for channel in channels]
        longest = self._lease * _LONGEST_LEASES
        rows = await self._database.fetch(_OTHERS, keys, self._process_id, longest)
        found = {row["channel"]: row["connections"] for row in rows}
        return {channel: found.get(channel.key, 0) for channel in channels}

    async def leave(self) -> None:
        """Forget this process: it is going."""
        await self._writing.fetch(_LEAVE, self._process_id)

    async def sweep(self) -> None:
        """Delete the rows of processes that died long ago."""
        await self._writing.fetch(_SWEEP)
