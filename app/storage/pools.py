"""The pools of one process: who shares connections with whom, and who does not.

A search may keep a connection for seconds, and anybody may search. So searches have
connections of their own, and what must go on whatever they do has others.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Self

from app.defaults import (
    DATABASE_POOL_SIZE,
    PUBLISH_TIMEOUT_SECONDS,
    SEARCH_POOL_SIZE,
    SEARCH_WAIT_SECONDS,
    STATEMENT_TIMEOUT_SECONDS,
)
from app.storage.database import Database
from app.storage.incidents import Incidents

__all__ = ["CONNECTIONS_BESIDES", "Pools"]

_WRITING: Final = 1
_LEASING: Final = 2
CONNECTIONS_BESIDES: Final = _WRITING + _LEASING
"""Connections besides those whose number is a setting; the bus opens two more."""

_SHORT_STATEMENT_SECONDS: Final = 5.0
"""Bound of what reads or writes by key: milliseconds, or something is wrong."""


@dataclass(frozen=True, slots=True)
class Pools:
    """The connections of one process, by what they are for."""

    writing: Database
    """Publishing: one connection, for there is one writer."""
    leasing: Database
    """Presence's rows and the health check: neither waits for a storm of joins."""
    reading: Database
    """Joining, replaying, counting: short statements, in large numbers."""
    searching: Database
    """Searches and live queries."""
    incidents: Incidents

    @classmethod
    async def open(
        cls,
        stack: AsyncExitStack,
        url: str,
        *,
        reading: int = DATABASE_POOL_SIZE,
        searching: int = SEARCH_POOL_SIZE,
        publish_timeout_seconds: float = PUBLISH_TIMEOUT_SECONDS,
        search_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS,
        search_wait_seconds: float = SEARCH_WAIT_SECONDS,
    ) -> Self:
        """Open all pools.

        Args:
            stack: closes them.
            url: postgresql://user@host/database
            reading: connections for joining, replaying and counting.
            searching: connections for searches, which is how many run at once.
            publish_timeout_seconds: bound of the statement that stores messages: no
                publisher waits for longer.
            search_timeout_seconds: a search that takes longer is cancelled.
            search_wait_seconds: a search that finds no connection within this is refused.

        Raises:
            DatabaseLost: the database cannot be reached.
        """
        incidents = Incidents()

        async def connect(
            size: int,
            seconds: float = _SHORT_STATEMENT_SECONDS,
            *,
            wait_seconds: float | None = None,
            keep_idle: bool = False,
            **settings: str,
        ) -> Database:
            database = await Database.connect(
                url,
                pool_size=size,
                statement_timeout_seconds=seconds,
                wait_seconds=wait_seconds,
                incidents=incidents,
                keep_idle=keep_idle,
                server_settings=settings,
            )
            stack.push_async_callback(database.close)
            return database

        return cls(
            writing=await connect(_WRITING, publish_timeout_seconds, keep_idle=True),
            leasing=await connect(_LEASING, keep_idle=True),
            reading=await connect(reading),
            searching=await connect(
                searching,
                search_timeout_seconds,
                wait_seconds=search_wait_seconds,
                # One search, one core: a parallel one takes those of the publishers.
                max_parallel_workers_per_gather="0",
            ),
            incidents=incidents,
        )
