"""Counting connections: exact at rest, coalesced in a storm, right again after trouble."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from app.delivery.backends.backend import Backend
from app.delivery.backends.memory import MemoryBackend
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
from tests.delivery.recorded import JoinedBackend, until
from tests.services.live.members import Recorded

pytestmark = pytest.mark.anyio

CHANNEL = Channel("project", "widget")
VIEWER = Viewer(None, DEFAULT_PERMISSIONS)


@asynccontextmanager
async def service(
    database: Database,
    backend: Backend | None = None,
    store: type[PresenceStore] = PresenceStore,
    *,
    interval_seconds: float = 0.02,
    heartbeat_seconds: float = 0.05,
) -> AsyncIterator[PresenceService]:
    """Run one process's presence. Without a shared bus only the heartbeat looks at the others."""
    process_id = str(uuid4())
    bus = Bus(backend or MemoryBackend(), process_id)
    hub = Hub(bus, MessageHistory(database))
    await hub.start()
    presence = PresenceService(
        hub,
        store(database, process_id, 60),
        interval_seconds=interval_seconds,
        heartbeat_seconds=heartbeat_seconds,
    )
    await presence.start()
    try:
        yield presence
    finally:
        await presence.stop()
        await hub.stop()


class Watcher(Recorded):
    """A member that is told counts."""

    @property
    def counts(self) -> list[int]:
        return [int(payload) for payload in self.payloads]


@asynccontextmanager
async def watching(presence: PresenceService) -> AsyncIterator[Watcher]:
    """Watch the channel's count."""
    watcher = Watcher()
    source = await presence.watch(VIEWER, CHANNEL)
    leave = await source.begin("count", lambda count: b"%d" % count, watcher)
    try:
        yield watcher
    finally:
        leave()


async def told(presence: PresenceService, wanted: int) -> list[int]:
    """Return the counts a new watcher is told, up to the wanted one."""
    async with watching(presence) as watcher:
        await watcher.has(b"%d" % wanted)
        return watcher.counts


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


async def test_who_left_just_before_an_orderly_stop_is_told_of_at_once(database: Database) -> None:
    """The stop told the channels it still had; those just left waited for a heartbeat."""
    ends: list[JoinedBackend] = []
    async with (
        service(database, JoinedBackend(ends), heartbeat_seconds=60) as staying,
        watching(staying) as watcher,
    ):
        assert watcher.counts == [0]
        async with service(database, JoinedBackend(ends), interval_seconds=60) as leaving:
            leaving.join(CHANNEL)
            await watcher.has(b"1")
            leaving.leave(CHANNEL)
        await watcher.has(b"0")


class SlowStore(PresenceStore):
    """Keeps the first sum that is read to itself until it is let go."""

    has_read: asyncio.Event
    let_go: asyncio.Event

    async def others(self, channels: Sequence[Channel]) -> dict[Channel, int]:
        counts = await super().others(channels)
        if not self.has_read.is_set():
            self.has_read.set()
            await self.let_go.wait()
        return counts


async def test_a_slow_first_reading_does_not_overwrite_a_newer_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did, and the watcher was told a count of before it came."""
    monkeypatch.setattr(SlowStore, "has_read", asyncio.Event(), raising=False)
    monkeypatch.setattr(SlowStore, "let_go", asyncio.Event(), raising=False)
    async with service(database, store=SlowStore) as slow, service(database) as other:
        watch = asyncio.create_task(slow.watch(VIEWER, CHANNEL))
        await SlowStore.has_read.wait()
        other.join(CHANNEL)
        await until(lambda: slow._watched[CHANNEL].count == 1)
        SlowStore.let_go.set()
        source = await watch
        assert source.count == 1
        source.close()


async def test_of_two_readings_the_one_that_began_later_holds(database: Database) -> None:
    async with service(database, heartbeat_seconds=60) as presence:
        source = await presence.watch(VIEWER, CHANNEL)
        watched = presence._watched[CHANNEL]
        now = asyncio.get_running_loop().time()
        watched.set_others(2, now + 1)
        watched.set_others(1, now)
        assert watched.count == 2
        source.close()


async def test_ten_thousand_joins_are_few_tellings(database: Database) -> None:
    async with service(database) as presence, watching(presence) as watcher:
        for _ in range(10_000):
            presence.join(CHANNEL)
        await watcher.has(b"10000")
        assert watcher.counts == [0, 10_000]


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


async def test_the_last_watcher_lets_the_channel_go(database: Database) -> None:
    async with service(database) as presence:
        async with watching(presence), watching(presence):
            assert presence._watched
        assert not presence._watched


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
