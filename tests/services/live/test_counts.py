"""Live counts: told once for all who watch, coalesced, the last value always."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.errors import Unavailable
from app.services.live.counts import WatchedChannel, telling_interval
from app.storage.presence import PresenceStore
from tests.delivery.recorded import CHANNEL, Table, until
from tests.services.live.members import Recorded

pytestmark = pytest.mark.anyio


class Store:
    """What other processes have written; a read can be held up or fail."""

    def __init__(self) -> None:
        self.count = 0
        self.reads = 0
        self.fails = False
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def others(self, channels: Sequence[Channel]) -> dict[Channel, int]:
        self.reads += 1
        count = self.count
        await self.may_read.wait()
        if self.fails:
            raise Unavailable("the database is away")
        return dict.fromkeys(channels, count)


class Service:
    """One watched channel."""

    def __init__(self) -> None:
        self.hub = Hub(Bus(MemoryBackend(), "process"), Table())
        self.store = Store()
        self.own = 0
        self.unwatched = 0
        self.encodings = 0
        self.channel = self.watched()

    def watched(self, interval: float = 0.01) -> WatchedChannel:
        def unwatched() -> None:
            self.unwatched += 1

        store = cast("PresenceStore", self.store)
        return WatchedChannel(CHANNEL, self.hub, store, lambda: self.own, interval, unwatched)

    def respond(self, event: object) -> bytes:
        self.encodings += 1
        assert isinstance(event, int)
        return b"%d" % event

    async def member(self) -> Recorded:
        member = Recorded()
        source = await self.channel.source()
        await source.begin("key", self.respond, member)
        return member

    def join(self, count: int = 1) -> None:
        self.own += count
        self.channel.tell()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    await made.hub.start()
    yield made
    await made.hub.stop()


async def test_the_count_comes_at_once_and_after_each_change(service: Service) -> None:
    service.own, service.store.count = 2, 3
    member = await service.member()
    assert member.payloads == [b"5"]
    service.join()
    await member.has(b"6")
    service.channel.set_others(0, asyncio.get_running_loop().time())
    await member.has(b"3")


async def test_a_storm_of_changes_is_told_once_and_at_its_end(service: Service) -> None:
    member = await service.member()
    for _ in range(1_000):
        service.join()
        await asyncio.sleep(0)
    await member.has(b"1000")
    assert len(member.payloads) < 10


async def test_a_thousand_watchers_cost_one_read_and_one_encoding_a_change(
    service: Service,
) -> None:
    members = [await service.member() for _ in range(1_000)]
    assert service.store.reads == 1
    before = service.encodings
    service.join()
    await asyncio.gather(*(member.has(b"1") for member in members))
    assert service.encodings == before + 1


async def test_a_change_back_to_what_was_told_is_not_told(service: Service) -> None:
    member = await service.member()
    service.join(3)
    service.join(-3)
    await asyncio.sleep(0.1)
    service.join()
    await member.has(b"1")
    assert member.payloads == [b"0", b"1"]


async def test_each_form_of_the_count_is_made_once(service: Service) -> None:
    def worded(event: object) -> bytes:
        return b"%s connections" % str(event).encode()

    plain, other = await service.member(), Recorded()
    source = await service.channel.source(lambda count: count * 10)
    assert source.count == 0
    leave = await source.begin("words", worded, other)
    service.join(2)
    await plain.has(b"2")
    await other.has(b"20 connections")
    leave()
    assert source.count == 0
    service.join()
    await plain.has(b"3")
    assert other.payloads == [b"0 connections", b"20 connections"]


async def test_whoever_joins_between_two_tellings_is_told_even_if_the_count_comes_back(
    service: Service,
) -> None:
    first = await service.member()
    service.join()
    late = await service.member()  # has 1, the others 0
    assert late.payloads == [b"1"]
    service.join(-1)
    await late.has(b"0")
    assert first.payloads[-1] == b"0"


async def test_a_newer_sum_is_not_overwritten_by_the_read_that_began_before_it(
    service: Service,
) -> None:
    """The first read of the others' sum set it back when an event had brought a newer one."""
    service.store.may_read.clear()
    joining = asyncio.create_task(service.member())
    await until(lambda: service.store.reads == 1)
    service.channel.set_others(7, asyncio.get_running_loop().time())
    service.store.may_read.set()
    member = await joining
    assert member.payloads == [b"7"]


async def test_a_failed_first_read_is_told_and_tried_again_by_the_next(service: Service) -> None:
    service.store.fails = True
    with pytest.raises(Unavailable):
        await service.member()
    assert service.unwatched == 1
    service.store.fails = False
    assert (await service.member()).payloads == [b"0"]


async def test_the_last_one_to_leave_ends_the_watch_once(service: Service) -> None:
    member = Recorded()
    leave = await (await service.channel.source()).begin("key", service.respond, member)
    other = await service.channel.source()
    leave()
    leave()
    assert service.unwatched == 0
    service.join()
    other.close()
    other.close()
    assert service.unwatched == 1
    assert member.payloads == [b"0"]


def test_the_interval_grows_with_the_audience_and_stays_within_a_second() -> None:
    assert telling_interval(0.25, 1) == 0.25
    assert telling_interval(0.25, 5_000) == 0.5
    assert telling_interval(0.25, 100_000) == 0.9
    assert telling_interval(2.0, 100_000) == 2.0
