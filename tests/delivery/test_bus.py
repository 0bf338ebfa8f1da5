"""The bus: what happens when its backend does not do what it is asked."""

import asyncio
from typing import Any

import pytest
from broadcaster import Broadcast, BroadcastBackend, Event

from app.delivery.bus import Bus
from app.delivery.events import PresenceChanged
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.errors import Unavailable
from tests.delivery.recorded import Recorder, Table, stored, transient

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
        if self.refusals:
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
    assert sorted(record.getMessage().split(":")[0] for record in caplog.records) == [
        "1 of 3 events could not be sent",
        "2 of 3 events could not be sent",
    ]
