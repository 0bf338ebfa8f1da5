"""A backend under broadcaster: its listener hands over, and its queues stay empty."""

import asyncio

import pytest
from broadcaster import Broadcast

from app.delivery.backends.memory import MemoryBackend
from tests.delivery.recorded import until

pytestmark = pytest.mark.anyio


async def test_what_comes_goes_past_broadcasters_queues_which_have_no_bound() -> None:
    """A burst filled them, whatever its bytes, before the first event of it was handled."""
    came: list[tuple[str, str]] = []
    backend = MemoryBackend()
    backend.attach(lambda topic, text: came.append((topic, text)), lambda: None)
    async with (
        Broadcast(backend=backend) as broadcast,
        broadcast.subscribe("topic") as first,
        broadcast.subscribe("topic") as second,
    ):
        for number in range(3):
            await broadcast.publish("topic", f"{number}")
        await broadcast.publish("nobody's", "x")
        await until(lambda: len(came) == 3)
        assert came == [("topic", "0"), ("topic", "1"), ("topic", "2")]
        assert first._queue.empty()
        assert second._queue.empty()


async def test_a_handler_that_fails_does_not_end_broadcasters_listener() -> None:
    """It ended without a line in the log: nobody else looks after that task."""
    missed = asyncio.Event()
    came: list[str] = []

    def take(_topic: str, text: str) -> None:
        if text == "bad":
            raise ZeroDivisionError
        came.append(text)

    backend = MemoryBackend()
    backend.attach(take, missed.set)
    async with Broadcast(backend=backend) as broadcast, broadcast.subscribe("topic"):
        await broadcast.publish("topic", "bad")
        await broadcast.publish("topic", "good")
        await until(lambda: came)
        assert missed.is_set()
        assert not broadcast._listener_task.done()
