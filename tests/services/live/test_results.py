"""The live results of a process: found by value, without a read, within a bound of memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.message import Head
from app.domain.query import CompiledFilters, MessageQuery, parse_query
from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.services.live.results import LiveResults
from app.services.searching import Searching
from app.storage.result_reads import Dated
from tests.delivery.recorded import CHANNEL, Table, stored, until
from tests.services.live.members import Recorded

pytestmark = pytest.mark.anyio

VIEWER = Viewer(None, DEFAULT_PERMISSIONS)


class Service:
    """Live counts of one channel, and how often the table was asked."""

    orders_by_code_point = True

    def __init__(self) -> None:
        self.table = Table()
        self.hub = Hub(Bus(MemoryBackend(), "process"), self.table)
        self.reads = self.searches = 0
        self.results = self.live(1024 * 1024)

    def live(self, max_bytes: int) -> LiveResults:
        itself = cast("Any", self)
        return LiveResults(self.hub, self.table, itself, itself, 0.01, max_bytes)

    async def count(self, _channel: Channel, _query: MessageQuery, head: Head) -> Dated[int]:
        self.reads += 1
        return Dated(0, head.sequence)

    async def total_count(self, _channel: Channel, _query: MessageQuery) -> int:
        self.searches += 1
        return self.table.head

    async def watch(self, name: str) -> tuple[Recorded, Callable[[], None]]:
        """Watch how many messages have an id."""
        filters = [{"field": "id", "operator": "EQ", "value": name}]
        query = parse_query({"filters": filters})
        compiled = CompiledFilters(query.filters)
        source = self.results.subscribe(VIEWER, CHANNEL, query, compiled, self.event(query))
        member = Recorded()
        return member, await source.begin(name, self.respond, member)

    def event(self, query: MessageQuery) -> Callable[..., object]:
        def event(search: Searching, _on_unavailable: Callable[[], None]) -> object:
            return search.total_count(CHANNEL, query)

        return event

    async def respond(self, event: Awaitable[int]) -> bytes:
        return b"%d" % await event

    def publish(self, sequence: int, name: str) -> None:
        self.table.head = sequence
        self.hub.publish_stored([replace(stored(sequence), id=name)])


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    await made.hub.start()
    yield made
    await made.hub.stop()


async def test_a_message_is_applied_to_those_it_concerns_and_none_is_read_again(
    service: Service,
) -> None:
    members = {name: (await service.watch(name))[0] for name in map(str, range(100))}
    assert service.reads == 100
    for sequence in range(1, 4):
        service.publish(sequence, "7")
    await members["7"].has(b"3")
    assert (service.reads, service.searches) == (100, 0)
    assert [one.payloads for name, one in members.items() if name != "7"] == [[b"0"]] * 99


async def test_memory_is_given_back_when_the_last_one_leaves(service: Service) -> None:
    _, leave = await service.watch("a")
    assert service.results.held_bytes > 0
    leave()
    assert service.results.held_bytes == 0


async def test_what_finds_no_room_is_searched_for_each_time(service: Service) -> None:
    service.results = service.live(max_bytes=150)
    first, _ = await service.watch("a")
    second, leave = await service.watch("b")
    service.publish(1, "a")
    service.publish(2, "b")
    await first.has(b"1")
    await second.has(b"2")
    assert service.searches >= 1
    leave()
    assert service.results.held_bytes == 100


async def test_messages_that_were_deleted_make_it_be_read_again(service: Service) -> None:
    member, _ = await service.watch("a")
    service.publish(1, "a")
    await member.has(b"1")
    (channel,) = service.results._channels.values()
    channel.removed()
    await member.has(b"0")
    assert service.reads == 2


async def test_events_that_were_lost_are_waited_for_by_whoever_joins(service: Service) -> None:
    early, _ = await service.watch("a")
    service.table.head = 3  # another process has published
    late, _ = await service.watch("a")
    await until(lambda: early.payloads == late.payloads)
    (channel,) = service.results._channels.values()
    assert channel.position == 3
