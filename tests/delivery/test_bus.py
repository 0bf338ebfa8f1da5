"""The bus: what happens when its backend does not do what it is asked."""

import asyncio
from typing import Any

import pytest
from broadcaster import Broadcast, BroadcastBackend, Event

from app.delivery.bus import Bus
from app.domain.channel import Channel
from app.errors import Unavailable

CHANNEL = Channel("project", "widget")

pytestmark = pytest.mark.anyio


class RefusingBackend(BroadcastBackend):
    """Refuses to subscribe, as often as it is told to."""

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
        pass

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
