"""Outbox and inbox: bounded by number and bytes, with a stated fate at the bound."""

import asyncio
from collections.abc import Sequence

import pytest
from broadcaster import Broadcast, BroadcastBackend, Event

from app.delivery.outbox import Inbox, Outbox
from app.errors import Unavailable
from tests.delivery.recorded import until

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


class SlowWay:
    """A way out that takes batches when it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.sent: list[str] = []

    async def __call__(self, batch: Sequence[tuple[str, str]]) -> None:
        await self.let_go.wait()
        self.sent += [text.split("/", 2)[2] for _, text in batch]


async def test_an_outbox_refuses_what_would_be_too_many_bytes_and_takes_it_later() -> None:
    way = SlowWay()
    outbox = Outbox(way, ())
    texts = [f"{number} {'x' * MIB}" for number in range(15)]
    putting = [asyncio.create_task(outbox.put("topic", text)) for text in texts]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match=r"15 with 157\d+ bytes wait to be sent"):
        await outbox.put("topic", "x" * MIB)
    way.let_go.set()
    await asyncio.gather(*putting)
    await outbox.put("topic", "x" * MIB)
    assert way.sent == [*texts, "x" * MIB]
    await outbox.close()


async def test_what_a_closed_outbox_gave_up_takes_no_room() -> None:
    outbox = Outbox(SlowWay(), ())
    putting = [asyncio.create_task(outbox.put("topic", "x" * MIB)) for _ in range(3)]
    await asyncio.sleep(0)
    putting += [asyncio.create_task(outbox.put("topic", "x" * MIB)) for _ in range(3)]
    await asyncio.sleep(0)
    await outbox.close()
    await asyncio.gather(*putting, return_exceptions=True)
    assert str(outbox._budget) == "0 with 0 bytes"


async def test_an_inbox_drops_what_would_be_too_many_bytes_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """10,000 events might wait, whatever their size."""
    missed: list[bool] = []
    inbox = Inbox(lambda: missed.append(True))
    for number in range(1, 21):
        inbox.put("topic", f"sender/{number}/{'x' * MIB}")
    assert len(missed) == 20 - 16
    assert caplog.text.count("events are dropped") == 1
    for _ in range(16):
        await inbox.get()
    inbox.put("topic", "sender/21/text")
    assert await inbox.get() == Event("topic", "text")
    assert str(inbox._budget) == "0 with 0 bytes"


class Received(BroadcastBackend):
    """A backend with an inbox that a test fills."""

    def __init__(self) -> None:
        self.inbox = Inbox(lambda: None)

    async def connect(self) -> None:
        pass

    async def disconnect(self) -> None:
        pass

    async def subscribe(self, group: str) -> None:
        pass

    async def unsubscribe(self, group: str) -> None:
        pass

    async def publish(self, channel: str, message: str) -> None:  # noqa: ARG002
        raise AssertionError

    async def next_published(self) -> Event:
        return await self.inbox.get()


async def test_what_has_come_is_handed_over_in_portions() -> None:
    """broadcaster's own queue has no bound, and all that waited was put into it in one go."""
    backend = Received()
    broadcast = Broadcast(backend=backend)
    await broadcast.connect()
    taken, most = 0, 0
    async with broadcast.subscribe("topic") as subscriber:
        queue = subscriber._queue
        for number in range(1, 1_001):
            backend.inbox.put("topic", f"sender/{number}/{'x' * 10_000}")

        async def read() -> None:
            nonlocal taken, most
            while True:
                await subscriber.get()
                taken, most = taken + 1, max(most, queue.qsize() + 1)

        reading = asyncio.create_task(read())
        await until(lambda: taken == 1_000)
        reading.cancel()
        assert most * 10_000 < 300_000
    await broadcast.disconnect()
