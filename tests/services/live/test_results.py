"""Live results: read once for all who asked the same, and never an old one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
from broadcaster import Broadcast

from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.query import parse_query
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import Forbidden
from app.services.live.results import LiveResults, ResultSource
from tests.delivery.recorded import CHANNEL, Table, stored, transient, until
from tests.services.live.members import Recorded

pytestmark = pytest.mark.anyio

VIEWER = Viewer(None, DEFAULT_PERMISSIONS)
EVERYTHING = parse_query({})


class Service:
    """Live results of one channel; the result is how far the table was when it was read."""

    def __init__(self, interval: float = 0.01) -> None:
        self.table = Table()
        self.hub = Hub(Bus(Broadcast("memory://"), "process"), self.table)
        self.results = LiveResults(self.hub, self.table, interval)
        self.reads = 0
        self.unavailable = 0
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.closed = 0

    def subscribe(self, query: Mapping[str, object] | None = None) -> ResultSource:
        def closed() -> None:
            self.closed += 1

        parsed = parse_query(query or {})
        return self.results.subscribe(VIEWER, CHANNEL, parsed, self._event, closed)

    def _event(self, on_unavailable: Callable[[], None]) -> int:
        self.reads += 1
        if self.unavailable:
            self.unavailable -= 1
            on_unavailable()
            return -1
        return self.table.head

    async def respond(self, event: object) -> bytes:
        await self.may_read.wait()
        return b"%d" % event if isinstance(event, int) else b""

    async def member(self, query: Mapping[str, object] | None = None) -> Recorded:
        member = Recorded()
        await self.subscribe(query).begin(repr(query), self.respond, member)
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
    service.results = LiveResults(service.hub, service.table, 0.1)
    member = await service.member()
    before = service.reads
    for sequence in range(1, 101):
        service.publish(sequence)
        await asyncio.sleep(0)
    await member.has(b"100")
    assert service.reads - before <= 2


async def test_what_its_filters_refuse_changes_nothing(service: Service) -> None:
    wanted = {"filters": [{"field": "id", "operator": "EQ", "value": "id 2"}]}
    member = await service.member(wanted)
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
    monkeypatch.setattr("app.services.live.results._AGAIN_SECONDS", 0.01)
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


async def test_when_the_last_member_leaves_nothing_is_read_or_kept(service: Service) -> None:
    source = service.subscribe()
    leave = await source.begin("key", service.respond, Recorded())
    leave()
    leave()
    assert service.closed == 1
    service.publish(1)
    await asyncio.sleep(0.05)
    assert service.reads == 1
    assert not service.results._groups


async def test_a_source_that_is_never_delivered_is_closed_once(service: Service) -> None:
    source = service.subscribe()
    source.close()
    source.close()
    assert service.closed == 1


@pytest.mark.parametrize("missing", [Permission.SUBSCRIBE, Permission.SEARCH])
async def test_both_rights_are_needed(service: Service, missing: Permission) -> None:
    viewer = Viewer("anna", DEFAULT_PERMISSIONS - {missing})
    with pytest.raises(Forbidden):
        service.results.subscribe(viewer, CHANNEL, EVERYTHING, service._event)
