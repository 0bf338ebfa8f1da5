"""What is Kafka's own: the size of a record."""

import asyncio

import pytest
from broadcaster import Broadcast

from app.delivery.backends.kafka import KafkaBackend
from app.errors import PayloadTooLarge
from tests.broker import Broker

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


async def test_the_largest_text_arrives_and_a_larger_one_is_refused_with_its_size(
    kafka: Broker,
) -> None:
    """It was taken, and dropped with a line in the log."""
    came: asyncio.Queue[str] = asyncio.Queue()
    backend = KafkaBackend(kafka.url)
    backend.attach(lambda _topic, text: came.put_nowait(text), lambda: None)
    async with Broadcast(backend=backend) as broadcast, broadcast.subscribe("topic"):
        largest = "é" * (999_000 // 2)
        with pytest.raises(PayloadTooLarge, match="999001 bytes; Kafka takes 1,000,000"):
            backend.post("topic", largest + "x")
        assert backend.post("topic", largest)
        assert await asyncio.wait_for(came.get(), 20) == largest
