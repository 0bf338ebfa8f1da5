"""Live results: made once for all who asked the same, and never an old one.

The result here is of a part that is not kept, so that it is read whenever it is made.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.query import (
    EVERY_MESSAGE,
    CompiledFilters,
    FieldPath,
    MessageQuery,
    parse_filters,
)
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import DeliveryFailed, Forbidden, Unavailable
from app.services.live import patience
from app.services.live.results import LiveResults, ResultSource
from app.services.searching import Searching
from tests.delivery.recorded import CHANNEL, Table, stored, transient, until
from tests.services.live.members import Recorded

pytestmark = pytest.mark.anyio

VIEWER = Viewer(None, DEFAULT_PERMISSIONS)
GROUPED = MessageQuery(group_by=FieldPath("data"))


class Service:
    """Live results of one channel; the result is how far the table was when it was read."""

    def __init__(self, interval: float = 0.01) -> None:
        self.table = Table()
        self.hub = Hub(Bus(MemoryBackend(), "process"), self.table)
        self.results = self.live(interval)
        self.reads = 0
        self.unavailable = 0
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.closed = 0

    def live(self, interval: float) -> LiveResults:
        table = cast("Any", self)
        return LiveResults(self.hub, self.table, table, cast("Any", None), interval)

    def subscribe(self, filters: CompiledFilters = EVERY_MESSAGE) -> ResultSource:
        def closed() -> None:
            self.closed += 1

        return self.results.subscribe(VIEWER, CHANNEL, GROUPED, filters, self.event, closed)

    async def group_messages(self, *_: object) -> int:
        """Answer for a part that is never kept, in the place of the table."""
        self.reads += 1
        head = self.table.head
        await self.may_read.wait()
        return head

    def event(self, search: Searching, on_unavailable: Callable[[], None]) -> object:
        return search, on_unavailable

    async def respond(self, event: tuple[Searching, Callable[[], None]]) -> bytes:
        search, on_unavailable = event
        found: Any = await search.group_messages(CHANNEL, GROUPED, [b"1"], 1)
        if self.unavailable:
            self.unavailable -= 1
            on_unavailable()
            return b"-1"
        return b"%d" % found

    async def member(self, filters: CompiledFilters = EVERY_MESSAGE) -> Recorded:
        member = Recorded()
        await self.subscribe(filters).begin(filters, self.respond, member)
        return member

    def publish(self, first: int, last: int | None = None) -> None:
        last = last or first
        self.table.head = last
        self.hub.publish_stored([stored(n) for n in range(first, last + 1)])


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    await made.hub.start()
    yield made
    await made.hub.stop()


async def test_the_result_comes_at_once_and_again_after_each_change(service: Service) -> None:
    member = await service.member()
    assert member.payloads == [b"0"]
    service.publish(1)
    await member.has(b"1")
    service.hub.publish_transient(transient())
    service.publish(2)
    await member.has(b"2")
    assert member.payloads == [b"0", b"1", b"2"]


async def test_a_thousand_who_ask_the_same_cost_one_read_a_change(service: Service) -> None:
    """Each listener read for itself: 500 viewers of a poll stopped the service."""
    members = await asyncio.gather(*(service.member() for _ in range(1_000)))
    assert service.reads <= 2
    before = service.reads
    service.publish(1)
    await asyncio.gather(*(member.has(b"1") for member in members))
    assert service.reads == before + 1


async def test_a_burst_is_read_once_an_interval_and_at_its_end(service: Service) -> None:
    service.results = service.live(0.1)
    member = await service.member()
    before = service.reads
    for sequence in range(1, 101):
        service.publish(sequence)
        await asyncio.sleep(0)
    await member.has(b"100")
    assert service.reads - before <= 2


async def test_what_its_filters_refuse_changes_nothing(service: Service) -> None:
    wire = [{"field": "id", "operator": "EQ", "value": "id 2"}]
    member = await service.member(CompiledFilters(parse_filters(wire)))
    reads = service.reads
    service.publish(1)
    service.publish(2)
    await member.has(b"2")
    assert service.reads == reads + 1


async def test_the_same_result_is_not_sent_again(service: Service) -> None:
    member = await service.member()
    service.hub.publish_stored([stored(1)])  # the table says 0 still
    await until(lambda: service.reads == 2)
    service.publish(2)
    await member.has(b"2")
    assert member.payloads == [b"0", b"2"]


async def test_a_late_joiner_gets_what_it_has_seen_acknowledged(service: Service) -> None:
    """Another process acknowledged a message whose event is still on its way here."""
    early = await service.member()
    service.table.head = 1
    late = await service.member()
    assert late.payloads == [b"1"]
    await early.has(b"1")


async def test_a_late_joiner_of_an_unchanged_result_costs_no_read(service: Service) -> None:
    await service.member()
    late = await service.member()
    assert late.payloads == [b"0"]
    assert service.reads == 1


async def test_a_message_that_comes_while_it_is_read_is_in_the_next_result(
    service: Service,
) -> None:
    member = await service.member()
    service.may_read.clear()
    service.publish(1)
    await until(lambda: service.reads == 2)
    service.publish(2)
    service.may_read.set()
    await member.has(b"2")


async def test_a_part_that_could_not_be_read_is_read_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.live.result_group._AGAIN_SECONDS", 0.01)
    member = await service.member()
    service.unavailable = 1
    service.publish(1)
    await member.has(b"1")
    assert member.payloads == [b"0", b"-1", b"1"]


async def test_a_response_that_fails_is_told_to_whoever_joins(service: Service) -> None:
    def broken(_event: object) -> bytes:
        raise ValueError("a defect")

    member = Recorded()
    with pytest.raises(ValueError, match="a defect"):
        await service.subscribe().begin("key", broken, member)
    assert not member.payloads


async def test_filters_that_take_long_are_not_asked(service: Service) -> None:
    """A read more is cheaper than a turn that every other subscriber waits for."""
    wire = [{"field": "id", "operator": "CONTAINS", "value": "id 2"}]
    slow = CompiledFilters(parse_filters(wire))
    assert not slow.light
    member = await service.member(slow)
    service.publish(1)
    await member.has(b"1")


async def test_a_channel_that_counts_anew_is_a_change(service: Service) -> None:
    member = await service.member()
    service.publish(1, 3)
    await member.has(b"3")
    (channel,) = service.results._channels.values()
    service.table.head = 0
    channel.restarted(0)
    await member.has(b"0")
    service.publish(4)
    await member.has(b"4")


async def test_one_that_cannot_look_at_a_message_lets_all_go_and_the_next_begins_anew(
    service: Service,
) -> None:
    class Broken(CompiledFilters):
        __slots__ = ()

        def __init__(self) -> None:
            super().__init__()
            self.accept = self.fails

        def fails(self, _message: object) -> bool:
            raise ZeroDivisionError

    broken = Broken()
    member, late = Recorded(), Recorded()
    await service.subscribe(broken).begin("key", service.respond, member)
    service.may_read.clear()
    (channel,) = service.results._channels.values()
    service.table.head = 1  # to be read again for whoever joins now
    joining = asyncio.create_task(service.subscribe(broken).begin("key", service.respond, late))
    await until(lambda: service.reads == 2)
    service.publish(1)
    assert [type(error) for error in member.errors] == [DeliveryFailed]
    service.may_read.set()
    with pytest.raises(DeliveryFailed):
        await joining
    assert late.payloads == []
    again = Recorded()
    await service.subscribe().begin("key", service.respond, again)
    service.publish(2)
    await again.has(b"2")
    assert channel.find(GROUPED) is None


async def test_a_group_that_is_left_while_it_reads_does_not_read_on(service: Service) -> None:
    """What changed during the read that its end cancelled made it read once more, for nobody."""
    leave = await service.subscribe().begin("key", service.respond, Recorded())
    service.may_read.clear()
    service.publish(1)
    await until(lambda: service.reads == 2)
    service.publish(2)
    leave()
    service.may_read.set()
    await asyncio.sleep(0.05)
    assert service.reads == 2


async def test_whoever_joins_waits_for_a_table_that_is_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told at once that it is away, most clients never asked again."""
    service.table.fails = 2
    assert (await service.member()).payloads == [b"0"]
    monkeypatch.setattr(patience, "_PATIENCE_SECONDS", 0.0)
    service.table.fails = 2
    with pytest.raises(Unavailable):
        await service.member()
    assert (await service.member()).payloads == [b"0"]


async def test_one_who_gives_up_takes_the_first_result_from_nobody(service: Service) -> None:
    service.may_read.clear()
    quitter = asyncio.create_task(service.member())
    other = asyncio.create_task(service.member())
    await until(lambda: service.reads == 1)
    quitter.cancel()
    service.may_read.set()
    assert (await other).payloads == [b"0"]


async def test_when_the_last_member_leaves_nothing_is_read_or_kept(service: Service) -> None:
    source = service.subscribe()
    leave = await source.begin("key", service.respond, Recorded())
    leave()
    leave()
    assert service.closed == 1
    service.publish(1)
    await asyncio.sleep(0.05)
    assert service.reads == 1
    assert not service.results._channels


async def test_a_source_that_is_never_delivered_is_closed_once(service: Service) -> None:
    source = service.subscribe()
    source.close()
    source.close()
    assert service.closed == 1


@pytest.mark.parametrize("missing", [Permission.SUBSCRIBE, Permission.SEARCH])
async def test_both_rights_are_needed(service: Service, missing: Permission) -> None:
    viewer = Viewer("anna", DEFAULT_PERMISSIONS - {missing})
    with pytest.raises(Forbidden):
        service.results.subscribe(viewer, CHANNEL, GROUPED, EVERY_MESSAGE, service.event)
