"""The brokers of this package's tests: their own processes on free ports, in their own places."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.brokers import Broker, kafka_server, redis_server
from tests.delivery.media import KafkaMedium, Medium, MemoryMedium, PostgresMedium, RedisMedium


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Broker]:
    """A running Redis that is this test's own."""
    yield from _running(redis_server(tmp_path))


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Broker]:
    """A running broker of Kafka's protocol that is this test's own."""
    yield from _running(kafka_server(tmp_path))


@pytest.fixture(params=["memory", "postgres", "redis", "kafka"])
def medium(request: pytest.FixtureRequest) -> Medium:
    """Each kind of bus, one after the other."""
    match request.param:
        case "postgres":
            return PostgresMedium(request.getfixturevalue("empty_database_url"))
        case "redis":
            return RedisMedium(request.getfixturevalue("redis"))
        case "kafka":
            return KafkaMedium(request.getfixturevalue("kafka"))
    return MemoryMedium()


@pytest.fixture
def joining(medium: Medium) -> Medium:
    """Each kind of bus that joins processes."""
    if not medium.joins_processes:
        pytest.skip("memory:// joins no processes")
    return medium


def _running(broker: Broker) -> Iterator[Broker]:
    broker.start()
    try:
        yield broker
    finally:
        broker.close()
