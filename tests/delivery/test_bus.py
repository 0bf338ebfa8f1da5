"""The bus: what happens when its backend does not do what it is asked."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import pytest

from app.delivery.backends.backend import Backend
from app.delivery.backends.memory import MemoryBackend
from app.delivery.backends.remote import RemoteBackend
from app.delivery.bus import Bus
from app.delivery.events import Event, PresenceChanged
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.errors import PayloadTooLarge, Unavailable
from tests.delivery.recorded import JoinedBackend, Recorder, Table, stored, transient, until

CHANNEL = Channel("project", "widget")

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(backend: Backend) -> AsyncIterator[Bus]:
    """Run a bus on a backend."""
    bus = Bus(backend, "this process")
    await bus.start(lambda _event: None)
    try:
        yield bus
    finally:
        await bus.stop()


class RefusingBackend(MemoryBackend):
    """Refuses to subscribe once."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 1

    async def subscribe(self, group: str) -> None:
        if self.refusals and "pulse" not in group:
            self.refusals -= 1
            raise ConnectionError(group)
        await super().subscribe(group)


async def test_a_backend_that_refuses_once_does_not_hold_up_the_next_who_opens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first one waited for ever, with the lock that all others needed."""
    async with running(RefusingBackend()) as bus, asyncio.timeout(20):
        with pytest.raises(Unavailable):
            await bus.open(CHANNEL)
        assert "ConnectionError" in caplog.text
        await bus.open(CHANNEL)
        await bus.close(CHANNEL)


class SlowBackend(MemoryBackend):
    """Subscribes when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()

    async def subscribe(self, group: str) -> None:
        if "pulse" not in group:
            self.asked.set()
            await self.let_go.wait()
        await super().subscribe(group)


async def test_whoever_gives_up_opening_is_cancelled_and_the_next_one_opens() -> None:
    """broadcaster's clean-up raises a KeyError in the place of the cancellation."""
    backend = SlowBackend()
    async with running(backend) as bus, asyncio.timeout(20):
        opening = asyncio.create_task(bus.open(CHANNEL))
        await backend.asked.wait()
        opening.cancel()
        await asyncio.wait({opening})
        assert opening.cancelled()
        backend.let_go.set()
        await bus.open(CHANNEL)
        await bus.close(CHANNEL)


class BusyBackend(RemoteBackend):
    """A broker that takes what is sent when it is let go."""

    _broker = "nobody"
    _failures = _send_failures = (OSError,)

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()
        self.sent: list[str] = []

    async def _open(self) -> None:
        pass

    async def _listen(self) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    async def _drop(self) -> None:
        pass

    async def _send(self, batch: Sequence[tuple[str, str]]) -> None:
        await self.let_go.wait()
        self.sent += [text for _, text in batch]


async def test_what_waits_to_be_sent_is_bounded_in_bytes_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """10,000 events might wait, whatever their size: 640 MB of the largest."""
    backend = BusyBackend()
    hub = Hub(Bus(backend, "this process"), Table())
    await hub.start()
    try:
        recorder = Recorder()
        await hub.join(CHANNEL, recorder)
        sent = 8 * 1024 * 1024 // 61_000
        for _ in range(sent):
            hub.publish_transient(transient(60_000))
        with pytest.raises(Unavailable, match="retry later"):
            hub.publish_transient(transient(200_000))
        assert len(recorder.messages) == sent, "whoever is refused was given to nobody"
        # Stored ones are not refused: the table has them, and the others' poll finds them.
        with suppress(Unavailable):
            while True:
                hub.publish_transient(transient())
        hub.publish_stored([stored(1)])
        assert recorder.sequences == [1]
        assert caplog.text.count("dropping events") == 2, "once, each time it is full"
        backend.let_go.set()
        await backend.flush()
        hub.publish_transient(transient(60_000))
    finally:
        await hub.stop()


async def test_what_waits_is_sent_before_it_stops() -> None:
    backend = BusyBackend()
    async with running(backend) as bus:
        for number in range(500):
            assert bus.post(CHANNEL, PresenceChanged(f"{number}", CHANNEL.key))
        backend.let_go.set()
    posted = [text for text in backend.sent if '"p"' in text]
    assert [text.split('"')[3] for text in posted] == [str(number) for number in range(500)]


class SmallBackend(MemoryBackend):
    """A broker that takes small texts only."""

    def post(self, topic: str, text: str) -> bool:
        if len(text) > 1_000:
            raise PayloadTooLarge("an event of more than 1,000 bytes")
        return super().post(topic, text)


async def test_what_the_broker_never_takes_is_refused_and_was_given_to_nobody() -> None:
    """It was answered as published, and dropped with a line in the log."""
    hub = Hub(Bus(SmallBackend(), "this process"), Table())
    await hub.start()
    try:
        recorder = Recorder()
        await hub.join(CHANNEL, recorder)
        with pytest.raises(PayloadTooLarge):
            hub.publish_transient(transient(2_000))
        assert recorder.messages == []
    finally:
        await hub.stop()


@pytest.mark.parametrize("failing", ["whoever is told", "nobody"])
async def test_whatever_fails_on_the_way_in_goes_on_and_says_so(
    failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A reader that met an exception ended without a line in the log: deaf, and ready."""
    ends: list[JoinedBackend] = []
    sender, receiver = (Bus(JoinedBackend(ends), name) for name in ("sender", "receiver"))
    told: list[str] = []
    missed = asyncio.Event()
    failures = iter([failing == "whoever is told"])

    def take(event: Event) -> None:
        if next(failures, False):
            raise ZeroDivisionError
        told.append(event.channel)

    await sender.start(lambda _event: None)
    await receiver.start(take, missed.set)
    await receiver.open(CHANNEL)
    try:
        ends[0].post(next(iter(receiver._subscriptions)), "what another version sends")
        for _ in range(2):
            sender.post(CHANNEL, PresenceChanged("sender", CHANNEL.key))
        await until(lambda: len(told) == 2 or (missed.is_set() and told))
        assert await receiver.trouble() is None
        assert missed.is_set() == ("ZeroDivisionError" in caplog.text) == (len(told) == 1)
        assert "not sent by this service" in caplog.text
    finally:
        await sender.stop()
        await receiver.stop()
