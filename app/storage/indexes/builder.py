"""Building and dropping indexes: by one at a time of all processes that share a database."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from app.storage.elected import elected
from app.storage.indexes import registry
from app.storage.indexes.definitions import IndexDefinition
from app.storage.indexes.registry import Registry
from app.telemetry.counters import COUNTED
from app.telemetry.log_fields import event

__all__ = ["IndexBuilder", "building"]

logger = logging.getLogger(__name__)

_LOCK_KEY: Final = 0x57494447_45544958
"""`WIDGETIX`: the advisory lock of whoever builds."""
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
        COUNTED.index_builds["built"] += 1
        logger.info(
            "built the index on %s in %.1f s",
            _shown(index),
            seconds,
            extra=event("index.built", index=index.name, seconds=seconds),
        )

    async def keep(self, index: IndexDefinition) -> None:
        """Never let the service drop an index that is there."""
        await registry.keep(self._connection.fetch, index)

    async def drop(self, index: IndexDefinition) -> None:
        """Drop an index, and forget that it was wanted."""
        await self._connection.execute(index.drop_sql)
        await registry.forget(self._connection.fetch, index)
        COUNTED.index_builds["dropped"] += 1
        logger.info(
            "dropped the index on %s", _shown(index), extra=event("index.dropped", index=index.name)
        )


@asynccontextmanager
async def building(url: str, *, wait_seconds: float = 0.0) -> AsyncIterator[IndexBuilder | None]:
    """Give the right to build to one of all who ask, and None to the others.

    Args:
        url: postgresql://user@host/database
        wait_seconds: for another one to end.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached.
    """
    held = elected(url, _LOCK_KEY, settings=_SETTINGS, wait_seconds=wait_seconds)
    async with held as connection:
        yield None if connection is None else IndexBuilder(connection)


def _shown(index: IndexDefinition) -> str:
    return ", ".join(map(str, index.fields))
