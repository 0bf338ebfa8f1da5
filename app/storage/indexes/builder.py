"""Building and dropping indexes: by one at a time of all processes that share a database."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg

from app.storage.indexes import registry
from app.storage.indexes.definitions import IndexDefinition
from app.storage.indexes.registry import Registry

__all__ = ["CONNECTION_FAILURES", "IndexBuilder", "building"]

logger = logging.getLogger(__name__)

CONNECTION_FAILURES: Final = (OSError, EOFError, TimeoutError, asyncpg.InterfaceError)
"""What a connection raises, beside what Postgres says, when it is lost."""

_LOCK_KEY: Final = 0x57494447_45544958
"""`WIDGETIX`: the advisory lock of whoever builds."""
_LOCK_POLL_SECONDS: Final = 0.1
_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_CLOSE_TIMEOUT_SECONDS: Final = 2.0
_SETTINGS: Final = {
    "application_name": "widgetwire indexes",
    # A build takes as long as it takes. It waits for transactions that are older than it, a
    # backup's say, and holds nobody up meanwhile.
    "statement_timeout": "0",
    "lock_timeout": "0",
    # One core at the most.
    "max_parallel_maintenance_workers": "0",
}


class IndexBuilder:
    """The right to build, on a connection of its own: it ends with that, however it ends."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def read(self) -> Registry:
        """Return what the database knows. What is not valid is what an ended build left."""
        return await registry.read(self._connection.fetch)

    async def build(self, index: IndexDefinition, *, kept: bool = False) -> None:
        """Build an index while others write, and learn what is in it.

        Args:
            index: on paths below `data`.
            kept: the service never drops it.
        """
        started = time.monotonic()
        # Before the build: one that ends half way is found by it.
        await registry.note_built(self._connection.fetch, index, kept=kept)
        await self._connection.execute(index.drop_sql)
        await self._connection.execute(index.create_sql)
        # Until then planners guess what is in an expression.
        await self._connection.execute("ANALYZE messages")
        seconds = time.monotonic() - started
        logger.info("built the index on %s in %.1f s", _shown(index), seconds)

    async def keep(self, index: IndexDefinition) -> None:
        """Never let the service drop an index that is there."""
        await registry.keep(self._connection.fetch, index)

    async def drop(self, index: IndexDefinition) -> None:
        """Drop an index, and forget that it was wanted."""
        await self._connection.execute(index.drop_sql)
        await registry.forget(self._connection.fetch, index)
        logger.info("dropped the index on %s", _shown(index))


@asynccontextmanager
async def building(url: str, *, wait_seconds: float = 0.0) -> AsyncIterator[IndexBuilder | None]:
    """Give the right to build to one of all who ask, and None to the others.

    Args:
        url: postgresql://user@host/database
        wait_seconds: for another one to end.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached.
    """
    connection = await asyncpg.connect(
        url, timeout=_CONNECT_TIMEOUT_SECONDS, server_settings=_SETTINGS
    )
    try:
        with suppress(asyncpg.PostgresError):  # not on every platform
            # A build whose process is gone ends within this, and its lock with it.
            await connection.execute("SET client_connection_check_interval = '2s'")
        deadline = time.monotonic() + wait_seconds
        # Asked for rather than waited for: a build waits for every statement that waits.
        mine = await _is_taken(connection)
        while not mine and time.monotonic() < deadline:
            await asyncio.sleep(_LOCK_POLL_SECONDS)
            mine = await _is_taken(connection)
        yield IndexBuilder(connection) if mine else None
    finally:
        # Under way still, when this task is cancelled: then closing cancels it in Postgres.
        try:
            await connection.close(timeout=_CLOSE_TIMEOUT_SECONDS)
        except (*CONNECTION_FAILURES, asyncpg.PostgresError):
            connection.terminate()


async def _is_taken(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    taken: bool = await connection.fetchval(f"SELECT pg_try_advisory_lock({_LOCK_KEY})")
    return taken


def _shown(index: IndexDefinition) -> str:
    return ", ".join(map(str, index.fields))
