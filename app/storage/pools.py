"""The pools of one process: who shares connections with whom, and who does not.

A search may keep a connection for seconds, and anybody may search. So searches have
connections of their own, those that read much other ones than those that read little, and what
must go on whatever they do has others.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Self

from app import setting_names
from app.defaults import (
    DATABASE_POOL_SIZE,
    PUBLISH_TIMEOUT_SECONDS,
    QUICK_SEARCH_POOL_SIZE,
    SEARCH_POOL_SIZE,
    STATEMENT_TIMEOUT_SECONDS,
)
from app.storage.backend_priority import give_way
from app.storage.database import Database
from app.storage.incidents import Incidents

__all__ = ["CONNECTIONS_BESIDES", "Pools"]

_WRITING: Final = 1
_LEASING: Final = 2
CONNECTIONS_BESIDES: Final = _WRITING + _LEASING
"""Connections besides those whose number is a setting; the bus opens two more."""

_SHORT_STATEMENT_SECONDS: Final = 5.0
"""Bound of what reads or writes by key: milliseconds, or something is wrong."""

_QUICK_SECONDS: Final = 1.0
"""What takes longer was no quick search: it begins again among the slow ones."""

_SEARCHING: Final = {
    # One search, one core: a parallel one takes those of the publishers.
    "max_parallel_workers_per_gather": "0",
    # Few run at once: what they sort and group need not go through files.
    "work_mem": "16MB",
}
_ADVICE: Final = (
    f"this is the limit for a search ({setting_names.STATEMENT_TIMEOUT_SECONDS}), and the search "
    "was cancelled: narrow it by created or by an indexed field, or ask the operator to index the "
    "field (widgetwire indexes add PATH)"
)


@dataclass(frozen=True, slots=True)
class Pools:
    """The connections of one process, by what they are for."""

    writing: Database
    """Publishing: one connection, for there is one writer."""
    leasing: Database
    """Presence's rows and the health check: neither waits for a storm of joins."""
    reading: Database
    """Joining, replaying, counting: short statements, in large numbers."""
    quick_searching: Database
    """Searches that read little."""
    searching: Database
    """Searches that read much: few at once, behind everybody else's work."""
    incidents: Incidents

    @classmethod
    async def open(
        cls,
        stack: AsyncExitStack,
        url: str,
        *,
        reading: int = DATABASE_POOL_SIZE,
        searching: int = SEARCH_POOL_SIZE,
        quick_searching: int = QUICK_SEARCH_POOL_SIZE,
        publish_timeout_seconds: float = PUBLISH_TIMEOUT_SECONDS,
        search_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS,
    ) -> Self:
        """Open all pools.

        Args:
            stack: closes them.
            url: postgresql://user@host/database
            reading: connections for joining, replaying and counting.
            searching: connections for searches that read much: so many run at once.
            quick_searching: connections for searches that read little.
            publish_timeout_seconds: bound of the statement that stores messages: no
                publisher waits for longer.
            search_timeout_seconds: a search that takes longer is cancelled.

        Raises:
            DatabaseLost: the database cannot be reached.
        """
        incidents = Incidents()

        async def connect(
            size: int,
            seconds: float = _SHORT_STATEMENT_SECONDS,
            *,
            keep_idle: bool = False,
            **more: Any,
        ) -> Database:
            database = await Database.connect(
                url,
                pool_size=size,
                statement_timeout_seconds=seconds,
                incidents=incidents,
                keep_idle=keep_idle,
                **more,
            )
            stack.push_async_callback(database.close)
            return database

        return cls(
            writing=await connect(_WRITING, publish_timeout_seconds, keep_idle=True),
            leasing=await connect(_LEASING, keep_idle=True),
            reading=await connect(reading, keep_idle=True),
            quick_searching=await connect(
                quick_searching,
                min(_QUICK_SECONDS, search_timeout_seconds),
                keep_idle=True,
                server_settings=_SEARCHING,
            ),
            searching=await connect(
                searching,
                search_timeout_seconds,
                server_settings=_SEARCHING,
                prepare=give_way,
                advice=_ADVICE,
            ),
            incidents=incidents,
        )
