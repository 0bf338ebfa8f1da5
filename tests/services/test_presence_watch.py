"""Watching a channel's count: known before it is told, told once in a while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.delivery.memory_backend import MemoryBackend
from app.domain.channel import Channel
from app.services.presence_watch import Counts, WatchedChannel
from app.storage.database import Database
from app.storage.history import MessageHistory
from app.storage.presence import PresenceStore

pytestmark = pytest.mark.anyio

CHANNEL = Channel("project", "widget")
PROCESS, OTHER = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2))


class Watched:
    """A watched channel, and how many connections this process holds."""

    def __init__(self, hub: Hub, database: Database) -> None:
        self.own = 0
        self.left = 0
        self.channel = WatchedChannel(
            CHANNEL, hub, PresenceStore(database, PROCESS, 60), lambda: self.own
        )

    async def watch(self, interval: float = 0.0) -> Counts:
        counts = self.channel.watch(interval, self._unwatched)
        await self.channel.opened()
        return counts

    def hold(self, connections: int) -> None:
        """Hold so many connections, and say that it changed."""
        self.own = connections
        self.channel.tell()

    def _unwatched(self) -> None:
        self.left += 1


@pytest.fixture
async def watched(database: Database) -> AsyncIterator[Watched]:
    """A channel that another process holds 3 connections of."""
    other = PresenceStore(database, OTHER, 60)
    await other.renew()
    await other.write({CHANNEL: 3})
    hub = Hub(Bus(MemoryBackend(), PROCESS), MessageHistory(database))
    await hub.start()
    yield Watched(hub, database)
    await hub.stop()


async def told(counts: Counts) -> int:
    async with asyncio.timeout(10):
        return await anext(counts)


async def test_the_first_count_is_that_of_all_processes(watched: Watched) -> None:
    watched.own = 2
    async with aclosing(await watched.watch()) as counts:
        assert await told(counts) == 5


async def test_changes_close_together_are_told_once(watched: Watched) -> None:
    async with aclosing(await watched.watch()) as counts:
        assert await told(counts) == 3
        for number in range(1, 101):
            watched.hold(number)
        assert await told(counts) == 103
        watched.hold(98)
        assert await told(counts) == 101


async def test_each_watcher_is_told_and_the_last_one_who_goes_lets_the_channel_go(
    watched: Watched,
) -> None:
    first, second = await watched.watch(), await watched.watch(interval=0.02)
    assert [await told(first), await told(second)] == [3, 3]
    watched.hold(1)
    assert [await told(first), await told(second)] == [4, 4]
    await first.aclose()
    await first.aclose()
    assert watched.left == 0
    watched.hold(2)
    assert await told(second) == 5
    await second.aclose()
    assert watched.left == 1
    with pytest.raises(StopAsyncIteration):
        await told(second)


async def test_a_change_back_to_what_was_told_is_not_told(watched: Watched) -> None:
    async with aclosing(await watched.watch(interval=0.2)) as counts:
        assert await told(counts) == 3
        waiting = asyncio.create_task(told(counts))
        watched.hold(6)
        watched.hold(0)
        await asyncio.sleep(0.3)
        assert not waiting.done()
        watched.hold(1)
        assert await waiting == 4
