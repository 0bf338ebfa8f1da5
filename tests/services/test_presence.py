"""Counting connections: exact at rest, coalesced in a storm, right again after trouble."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from broadcaster import Broadcast

from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import Forbidden
from app.services.connection_presence import ConnectionPresence
from app.services.presence import PresenceService
from app.storage.database import Database
from app.storage.history import MessageHistory
from app.storage.presence import PresenceStore

pytestmark = pytest.mark.anyio

CHANNEL = Channel("project", "widget")
VIEWER = Viewer(None, DEFAULT_PERMISSIONS)


@asynccontextmanager
async def service(database: Database) -> AsyncIterator[PresenceService]:
    """Run one process's presence. No event of another ever comes: only the heartbeat looks."""
    process_id = str(uuid4())
    hub = Hub(Bus(Broadcast("memory://"), process_id), MessageHistory(database))
    await hub.start()
    presence = PresenceService(
        hub,
        PresenceStore(database, process_id, 60),
        interval_seconds=0.02,
        heartbeat_seconds=0.05,
    )
    await presence.start()
    try:
        yield presence
    finally:
        await presence.stop()
        await hub.stop()


async def told(presence: PresenceService, wanted: int) -> list[int]:
    """Return the counts a new watcher is told, up to the wanted one."""
    counts = await presence.watch(VIEWER, CHANNEL)
    seen: list[int] = []
    try:
        async with asyncio.timeout(10):
            while wanted not in seen[-1:]:
                seen.append(await anext(counts))
    finally:
        await counts.aclose()
    return seen


async def test_the_heartbeat_alone_brings_the_counts_together(database: Database) -> None:
    async with service(database) as first, service(database) as second:
        first.join(CHANNEL)
        first.join(CHANNEL)
        second.join(CHANNEL)
        await told(first, 3)
        await told(second, 3)
        assert await first.count(VIEWER, CHANNEL) == 3
        first.leave(CHANNEL)
        await told(second, 2)
    async with service(database) as third:
        assert await told(third, 0) == [0], "those that stopped gave their counts back"


async def test_ten_thousand_joins_are_few_tellings(database: Database) -> None:
    async with service(database) as presence:
        counts = await presence.watch(VIEWER, CHANNEL)
        assert await anext(counts) == 0
        for _ in range(10_000):
            presence.join(CHANNEL)
        assert await anext(counts) == 10_000
        await counts.aclose()


async def test_rows_that_were_swept_are_written_again(database: Database) -> None:
    """A process that slept for minutes was taken for dead, and lives."""
    async with service(database) as sleeper, service(database) as watcher:
        sleeper.join(CHANNEL)
        await told(watcher, 1)
        await database.fetch("DELETE FROM presence")
        await database.fetch("DELETE FROM processes")
        await told(watcher, 1)


async def test_whoever_may_not_subscribe_may_not_count(database: Database) -> None:
    stranger = Viewer("anna", frozenset({Permission.PUBLISH}))
    async with service(database) as presence:
        with pytest.raises(Forbidden):
            await presence.count(stranger, CHANNEL)
        with pytest.raises(Forbidden):
            await presence.watch(stranger, CHANNEL)


async def test_closing_a_watch_ends_its_wait(database: Database) -> None:
    async with service(database) as presence:
        counts = await presence.watch(VIEWER, CHANNEL)
        assert await anext(counts) == 0

        async def rest() -> list[int]:
            return [count async for count in counts]

        waiting = asyncio.create_task(rest())
        await asyncio.sleep(0)
        await counts.aclose()
        await counts.aclose()
        assert await waiting == []


async def test_a_connection_is_one_in_each_channel_whatever_it_holds(database: Database) -> None:
    async with service(database) as presence:
        connection = ConnectionPresence(presence)
        first, second = connection.enter(CHANNEL), connection.enter(CHANNEL)
        assert await presence.count(VIEWER, CHANNEL) == 1
        first()
        first()
        assert await presence.count(VIEWER, CHANNEL) == 1, "ending twice ends one"
        second()
        assert await presence.count(VIEWER, CHANNEL) == 0
        connection.enter(CHANNEL)
        late = connection.enter(CHANNEL)
        connection.close()
        connection.close()
        late()
        assert await presence.count(VIEWER, CHANNEL) == 0
