"""The bus: what happens when its backend does not do what it is asked."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from broadcaster import Broadcast, BroadcastBackend, Event

from app.delivery import bus as bus_module
from app.delivery import supervision
from app.delivery.bus import Bus
from app.delivery.events import Event as DeliveryEvent
from app.delivery.events import PresenceChanged
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.errors import Unavailable
from tests.delivery.recorded import Recorder, SharedBroadcast, Table, stored, transient, until

CHANNEL = Channel("project", "widget")

pytestmark = pytest.mark.anyio


class RefusingBackend(BroadcastBackend):
    """Refuses to subscribe, as often as it is told to, and to publish always."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    async def connect(self) -> None:
        pass

    async def disconnect(self) -> None:
        pass

    async def subscribe(self, group: str) -> None:
        if self.refusals and "pulse" not in group:
            self.refusals -= 1
            raise ConnectionError(group)

    async def unsubscribe(self, group: str) -> None:
        pass

    async def publish(self, channel: str, message: Any) -> None:
        raise ValueError(message) if "odd" in message else ConnectionError(channel)

    async def next_published(self) -> Event:
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_backend_that_refuses_once_does_not_hold_up_the_next_who_opens() -> None:
    """The first one waited for ever, with the lock that all others needed."""
    bus = Bus(Broadcast(backend=RefusingBackend(1)), "this process")
    await bus.start(lambda _event: None)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await bus.open(CHANNEL)
            await bus.open(CHANNEL)
            await bus.close(CHANNEL)
    finally:
        await bus.stop()


class SlowBackend(RefusingBackend):
    """Takes what is published when it is let go."""

    def __init__(self) -> None:
        super().__init__(0)
        self.let_go = asyncio.Event()

    async def publish(self, channel: str, message: Any) -> None:  # noqa: ARG002
        await self.let_go.wait()


async def test_what_waits_to_be_sent_is_bounded_in_bytes_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """10,000 events might wait, whatever their size: 640 MB of the largest."""
    backend = SlowBackend()
    hub = Hub(Bus(Broadcast(backend=backend), "this process"), Table())
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
        hub.publish_stored([stored(1)])
        assert recorder.sequences == [1]
        assert caplog.text.count("events are dropped") == 1
        backend.let_go.set()
        await hub._bus._outbox.join()
        hub.publish_transient(transient(60_000))
    finally:
        await hub.stop()


async def test_what_cannot_be_sent_is_one_line_of_the_log_a_batch_and_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was one for each event: thousands, while a broker was away."""
    bus = Bus(Broadcast(backend=RefusingBackend(0)), "this process")
    await bus.start(lambda _event: None)
    for origin in ("this process", "odd", "this process"):
        assert bus.post(CHANNEL, PresenceChanged(origin, CHANNEL.key))
    await bus.stop()
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert sorted(one for one in said if "of 3 events" in one) == [
        "1 of 3 events could not be sent",
        "2 of 3 events could not be sent",
    ]


class BrokenOnce(SharedBroadcast):
    """A broadcaster whose listener fails once, when it has something to hand over."""

    def __init__(self) -> None:
        super().__init__()
        next_published = self._backend.next_published
        self.failures = 1

        async def fails_once() -> Event:
            event = await next_published()
            if self.failures and "pulse" not in event.channel:
                self.failures -= 1
                raise ZeroDivisionError
            return event

        self._backend.next_published = fails_once  # type: ignore[method-assign]


@pytest.fixture(params=["the listener", "a reader", "whoever is told", "nothing"])
async def receiving(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Bus, Bus, list[str], asyncio.Event]]:
    """Two buses, and what the second one is told; something of it fails at the first event."""
    for module in (bus_module, supervision):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    failing = request.param
    broadcast = BrokenOnce() if failing == "the listener" else SharedBroadcast()
    sender, receiver = Bus(broadcast, "sender"), Bus(broadcast, "receiver")
    told: list[str] = []
    missed = asyncio.Event()
    failures = iter([failing])

    def take(event: DeliveryEvent) -> None:
        if failing == "whoever is told" and next(failures, None):
            raise ZeroDivisionError
        told.append(event.channel)

    receive = receiver._receive

    def receive_or_fail(text: str) -> None:
        if failing == "a reader" and '"p"' in text and next(failures, None):
            raise ZeroDivisionError
        receive(text)

    monkeypatch.setattr(receiver, "_receive", receive_or_fail)
    await sender.start(lambda _event: None)
    await receiver.start(take, missed.set)
    await receiver.open(CHANNEL)
    if failing == "nothing":
        missed.set()
    yield sender, receiver, told, missed
    await sender.stop()
    await receiver.stop()
    await broadcast.really_disconnect()


async def test_whatever_fails_on_the_way_in_begins_again_and_says_so(
    receiving: tuple[Bus, Bus, list[str], asyncio.Event], caplog: pytest.LogCaptureFixture
) -> None:
    """A reader that met an exception ended without a line in the log: deaf, and ready."""
    sender, receiver, told, missed = receiving
    sender.post(CHANNEL, PresenceChanged("sender", CHANNEL.key))
    async with asyncio.timeout(10):
        await missed.wait()
    sender.post(CHANNEL, PresenceChanged("sender", CHANNEL.key))
    await until(lambda: told)
    assert await receiver.trouble() is None
    assert (len(told) == 2) or "ZeroDivisionError" in caplog.text


async def test_a_sender_that_fails_begins_again_with_what_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervision, "AGAIN_SECONDS", 0.01)
    bus = Bus(Broadcast("memory://"), "this process")
    send, failures = bus._send, iter([ZeroDivisionError])

    async def fails_once(batch: Sequence[tuple[str, str]]) -> None:
        for error in failures:
            raise error
        await send(batch)

    monkeypatch.setattr(bus, "_send", fails_once)
    await bus.start(lambda _event: None)
    bus.post(CHANNEL, PresenceChanged("this process", CHANNEL.key))
    assert await bus.trouble() is None
    assert "the bus sender failed" in caplog.text
    await bus.stop()
    assert str(bus._budget) == "0 with 0 bytes"
