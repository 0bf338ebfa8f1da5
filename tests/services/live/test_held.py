"""Live held messages: what waits, then what arrives, without a gap or a repeat, however it ends."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.errors import DeliveryFailed, Forbidden, Unavailable
from app.services.live.held import LiveHeld
from app.storage.held import Arrival, HeldMessages
from tests.delivery.recorded import CHANNEL, Table, until
from tests.services.live.members import Recorded
from tests.storage.waiting_room import draft

pytestmark = pytest.mark.anyio


class Store:
    """The table: a read takes turns of the loop, and may fail."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.number = 0
        self.reads = 0
        self.fails = False
        self.delay: asyncio.Event | None = None
        """Of the next read: its answer comes when this is set."""
        self.on_newest: Callable[[], Awaitable[None]] | None = None
        """What happens between the next look at the numbers and its answer."""

    def arrive(self, data: bytes | None = None) -> None:
        self.number += 1
        message = draft(data or b"%d" % self.number).held(1)
        self.arrivals.append(Arrival(self.number, message))

    def gone(self, *numbers: int) -> None:
        self.arrivals = [one for one in self.arrivals if one.number not in numbers]

    async def after(self, _channel: Channel, number: int, limit: int) -> list[Arrival]:
        self.reads += 1
        await asyncio.sleep(0)
        page = [one for one in self.arrivals if one.number > number][:limit]
        delay, self.delay = self.delay, None
        await (asyncio.sleep(0) if delay is None else delay.wait())
        if self.fails:
            raise Unavailable("the database is away")
        return page

    async def newest(self, channels: Sequence[Channel]) -> dict[Channel, int]:
        if self.fails:
            raise Unavailable("the database is away")
        number = self.number
        on_newest, self.on_newest = self.on_newest, None
        if on_newest is not None:
            await on_newest()
        return dict.fromkeys(channels, number)


class Service:
    def __init__(self) -> None:
        self.hub = Hub(Bus(MemoryBackend(), "process"), Table())
        self.store = Store()
        self.live = LiveHeld(self.hub, cast("HeldMessages", self.store), poll_seconds=0.02)
        self.encodings = 0

    def respond(self, message: Any) -> bytes:
        self.encodings += 1
        if message.data_json == b'"broken"':
            raise ZeroDivisionError
        return bytes(message.data_json)

    async def listen(
        self, key: str = "key", allowed: Callable[[], None] = lambda: None
    ) -> tuple[Recorded, Callable[[], None]]:
        member = Recorded()
        source = await self.live.source(CHANNEL, allowed)
        return member, await source.begin(key, self.respond, member)

    def arrive(self, data: bytes | None = None) -> None:
        self.store.arrive(data)
        self.live.tell([CHANNEL])


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    await made.hub.start()
    await made.live.start()
    yield made
    await made.live.stop()
    await made.hub.stop()


async def test_what_waits_comes_first_and_then_what_arrives(service: Service) -> None:
    for _ in range(3):
        service.store.arrive()
    service.store.gone(2)
    member, leave = await service.listen()
    assert member.payloads == [b"1", b"3"]
    service.arrive()
    service.arrive()
    await member.has_so_many(4)
    assert member.payloads == [b"1", b"3", b"4", b"5"]
    leave()
    service.arrive()
    await asyncio.sleep(0.05)
    assert member.payloads[-1] == b"5"


async def test_those_who_want_the_same_share_the_reading_and_the_encoding(service: Service) -> None:
    members = [(await service.listen(key))[0] for key in ("one", "one", "other")]
    reads, service.encodings = service.store.reads, 0
    service.arrive()
    for member in members:
        await member.has(b"1")
    assert service.encodings == 2
    assert service.store.reads <= reads + 2


async def test_an_event_that_is_lost_costs_a_poll(service: Service) -> None:
    member, _ = await service.listen()
    service.store.arrive()  # by another process, of which nothing is heard
    await member.has(b"1")


async def test_another_process_is_heard_of_at_once(service: Service) -> None:
    member, _ = await service.listen()
    service.store.arrive()
    service.hub.on_held(CHANNEL)
    service.hub.on_held(Channel("nobody", "listens"))
    await member.has(b"1")


async def test_while_the_database_is_away_nothing_is_lost(service: Service) -> None:
    member, _ = await service.listen()
    service.store.fails = True
    service.arrive()
    with pytest.raises(Unavailable):
        await service.listen()
    service.store.fails = False
    await member.has(b"1")
    assert member.errors == []


async def test_what_arrives_while_one_begins_comes_once(service: Service) -> None:
    for _ in range(450):  # three pages
        service.store.arrive()
    rng = random.Random(7)
    early, _ = await service.listen()

    async def arriving() -> None:
        for _ in range(150):
            service.arrive()
            if rng.random() < 0.3:
                service.store.gone(rng.randint(1, service.store.number))
            await asyncio.sleep(0)

    task = asyncio.create_task(arriving())
    members = [early]
    while not task.done():
        members.append((await service.listen(rng.choice("ab")))[0])
    service.arrive(b"0")
    for member in members:
        await member.has(b"0")
        numbers = [int(payload) for payload in member.payloads[:-1]]
        assert numbers == sorted(set(numbers))
        # What it was not given was gone before it began.
        assert {one.number for one in service.store.arrivals[:-1]} <= {*numbers}
    assert early.payloads[:450] == [b"%d" % n for n in range(1, 451)]


async def test_an_answer_that_comes_late_hides_nothing(service: Service) -> None:
    """What arrived after it was read has been given to the others by the time it comes."""
    service.store.arrive()
    early, _ = await service.listen()
    late = Recorded()
    source = await service.live.source(CHANNEL, lambda: None)
    delay = service.store.delay = asyncio.Event()
    beginning = asyncio.create_task(source.begin("key", service.respond, late))
    await until(lambda: service.store.delay is None)
    service.arrive()
    await early.has(b"2")
    delay.set()
    await beginning
    service.arrive()
    await late.has(b"3")
    assert late.payloads == early.payloads == [b"1", b"2", b"3"]


async def test_a_number_that_is_old_when_it_comes_repeats_nothing(service: Service) -> None:
    """What has been given since the poll read it was taken for a count that is gone."""
    service.arrive()
    member, _ = await service.listen()
    polled = asyncio.Event()

    async def meanwhile() -> None:
        service.arrive()
        await member.has_so_many(2)
        polled.set()

    service.store.on_newest = meanwhile
    await polled.wait()
    service.arrive()
    await member.has_so_many(3)
    assert member.payloads == [b"1", b"2", b"3"]


async def test_who_may_not_moderate_any_more_is_given_nothing(service: Service) -> None:
    muted = False

    def allowed() -> None:
        if muted:
            raise Forbidden("you are muted")

    member, leave = await service.listen(allowed=allowed)
    other, _ = await service.listen()
    muted = True
    service.arrive()
    await other.has(b"1")
    assert member.payloads == []
    assert [str(error) for error in member.errors] == ["you are muted"]
    leave()
    with pytest.raises(Forbidden):
        await service.listen(allowed=allowed)


async def test_a_message_that_cannot_be_given_ends_its_listeners_only(service: Service) -> None:
    member, _ = await service.listen()
    service.arrive(b'"broken"')
    await member.has_failed()
    assert isinstance(member.errors[0], DeliveryFailed)
    service.store.gone(1)
    again, _ = await service.listen()
    service.arrive()
    await again.has(b"2")


async def test_a_channel_that_counts_anew_is_given_anew(service: Service) -> None:
    service.store.arrive()
    service.store.arrive()
    member, _ = await service.listen()
    service.store.gone(1, 2)
    service.store.number = 0
    service.store.arrive(b'"anew"')
    await member.has(b'"anew"')


async def test_without_listeners_nothing_is_read(service: Service) -> None:
    service.arrive()
    await asyncio.sleep(0.05)
    assert service.store.reads == 0
    source = await service.live.source(CHANNEL, lambda: None)
    source.close()
    source.close()
    _, leave = await service.listen()
    leave()
    leave()
    reads = service.store.reads
    service.arrive()
    await asyncio.sleep(0.05)
    assert service.store.reads == reads
