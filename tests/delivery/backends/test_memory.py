"""The backend of a process that is alone; what all have in common is in test_backends.py."""

import pytest
from broadcaster import Broadcast

from app.delivery.backends.memory import MemoryBackend
from app.errors import Unavailable
from tests.delivery.recorded import until

pytestmark = pytest.mark.anyio


async def test_what_nobody_has_subscribed_to_takes_no_room() -> None:
    backend = MemoryBackend()
    assert all(backend.post("topic", "x") for _ in range(20_000))
    assert str(backend._inbox.waiting) == "0 with 0 bytes"


async def test_it_refuses_what_would_be_too_many_and_takes_it_later() -> None:
    came: list[str] = []
    backend = MemoryBackend()
    backend.attach(lambda _topic, text: came.append(text), lambda: None)
    async with Broadcast(backend=backend) as broadcast, broadcast.subscribe("topic"):
        assert all(backend.post("topic", "x") for _ in range(10_000))
        assert not backend.post("topic", "x")
        with pytest.raises(Unavailable, match="retry later"):
            await broadcast.publish("topic", "x")
        await until(lambda: len(came) == 10_000)
        await broadcast.publish("topic", "again")
        await until(lambda: came[-1] == "again")
