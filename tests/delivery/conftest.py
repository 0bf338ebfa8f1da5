"""The brokers of this package's tests: their own processes on free ports, in their own places."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.broker import Broker, free_port
from tests.delivery.brokers import kafka_server, redis_server
from tests.delivery.media import KafkaMedium, Medium, MemoryMedium, PostgresMedium, RedisMedium
from tests.link import Link


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Broker]:
    """A running Redis that is this test's own."""
    with _running(redis_server(tmp_path)) as broker:
        yield broker


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Broker]:
    """A running broker of Kafka's protocol that is this test's own."""
    with _running(kafka_server(tmp_path)) as broker:
        yield broker


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


@pytest.fixture(params=["postgres", "redis", "kafka"])
def linked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Medium, Link]]:
    """Each kind of bus that joins processes, and the link over which alone it is reached."""
    with Link() as link:
        address = f"127.0.0.1:{link.port}"
        if request.param == "postgres":
            url = urlsplit(request.getfixturevalue("empty_database_url"))
            options = parse_qs(url.query)
            link.leads_to = f"{options['host'][0]}/.s.PGSQL.{options['port'][0]}"
            yield PostgresMedium(f"postgresql://{url.username}@{address}{url.path}"), link
            return
        port = link.leads_to = free_port()
        if request.param == "redis":
            with _running(redis_server(tmp_path, port=port)) as broker:
                broker.url = f"redis://{address}"
                yield RedisMedium(broker), link
        else:
            with _running(kafka_server(tmp_path, port=port, reached_at=link.port)) as broker:
                yield KafkaMedium(broker), link


@contextmanager
def _running(broker: Broker) -> Iterator[Broker]:
    broker.start()
    try:
        yield broker
    finally:
        broker.close()
