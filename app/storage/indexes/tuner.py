"""The task of a process that keeps its knowledge of indexes fresh, and has them built."""

import asyncio
import logging
import random
import time
from contextlib import suppress
from typing import Final

import asyncpg

from app.defaults import SEARCH_INDEX_MESSAGES, SEARCH_INDEXES
from app.errors import Unavailable
from app.storage.database import Database
from app.storage.elected import CONNECTION_FAILURES
from app.storage.indexes import registry
from app.storage.indexes.builder import IndexBuilder, building
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.indexes.decisions import Build, Drop, decide
from app.storage.indexes.demand import Demand
from app.storage.indexes.registry import Registry
from app.telemetry.counters import COUNTED
from app.telemetry.log_fields import event
from app.telemetry.tracebacks import error_text

__all__ = ["IndexTuner"]

logger = logging.getLogger(__name__)

_INTERVAL_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 600.0
"""An index that could not be built is tried again after this."""


class IndexTuner:
    """Tells what was searched, reads what is there, and builds or drops what has to be.

    Args:
        url: of the database; a connection of its own is opened while there is work.
        database: for telling and reading.
        indexes: kept up to date.
        demand: what was searched.
        limit: indexes that the service builds and keeps at the most; 0: it builds none.
        large_channel_messages: channels with fewer messages need no index.
        interval_seconds: between two rounds.
    """

    def __init__(
        self,
        url: str,
        database: Database,
        indexes: SearchIndexes,
        demand: Demand,
        *,
        limit: int = SEARCH_INDEXES,
        large_channel_messages: int = SEARCH_INDEX_MESSAGES,
        interval_seconds: float = _INTERVAL_SECONDS,
    ) -> None:
        self._url = url
        self._database = database
        self._indexes = indexes
        self._demand = demand
        self._limit = limit
        self._large = large_channel_messages
        self._interval = interval_seconds
        self._task: asyncio.Task[None] | None = None
        self._retry_at: dict[str, float] = {}
        self._told: set[str] = set()

    async def start(self) -> None:
        """Read what is there, then go on in the background."""
        await self._guarded_round(act=False)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; a build that is under way is cancelled, and cleaned up by whoever is next."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def round(self, *, act: bool = True) -> None:
        """Tell, read, and do what has to be done."""
        noted = self._demand.take()
        if noted:
            await registry.tell(self._database.fetch, noted, self._large)
        known = self._refreshed(await registry.read(self._database.fetch))
        if act and self._next(known) is not None:
            async with building(self._url) as builder:
                if builder is not None:
                    await self._build(builder)

    async def _run(self) -> None:
        while True:
            # Jitter: processes that were started together do not ask together.
            await asyncio.sleep(self._interval * random.uniform(0.8, 1.2))  # noqa: S311
            await self._guarded_round()

    async def _guarded_round(self, *, act: bool = True) -> None:
        try:
            await self.round(act=act)
        except (Unavailable, *CONNECTION_FAILURES) as error:
            # Its pool has told of that. What was noted meanwhile is lost, and comes again.
            logger.debug("indexes: %s", error)
        except asyncpg.PostgresError as error:
            self._tell_once(f"indexes are neither built nor counted: {error_text(error)}")
        except Exception:
            logger.exception("the tuning of indexes failed; it begins again")

    async def _build(self, builder: IndexBuilder) -> None:
        while True:
            # What was read before the lock was taken may be over.
            known = self._refreshed(await builder.read())
            match self._next(known):
                case None:
                    return
                case Drop(index):
                    await builder.drop(index)
                case Build(index):
                    try:
                        await builder.build(index)
                    except asyncpg.PostgresError as error:
                        COUNTED.index_builds["failed"] += 1
                        self._retry_at[index.name] = time.monotonic() + _RETRY_SECONDS
                        fields = ", ".join(map(str, index.fields))
                        why = error_text(error)
                        self._tell_once(f"the index on {fields} could not be built: {why}")
                        return

    def _next(self, known: Registry) -> Build | Drop | None:
        now = time.monotonic()
        self._retry_at = {name: at for name, at in self._retry_at.items() if at > now}
        return decide(known.shapes, self._limit, failed=self._retry_at.keys())

    def _refreshed(self, known: Registry) -> Registry:
        self._indexes.refresh(known.ready, strings_in_order=known.strings_in_order)
        return known

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            logger.warning("%s", text, extra=event("index.failed"))
