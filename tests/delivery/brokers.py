"""Brokers for tests, which are skipped where there is none, and fail for it in CI."""

from pathlib import Path

from tests import broker
from tests.broker import Broker
from tests.node import missing
from tests.npm import MissingProgramError

__all__ = ["kafka_server", "redis_server"]


def redis_server(directory: Path, *options: str, port: int | None = None) -> Broker:
    """Return a Redis as `tests.broker.redis_server` does."""
    try:
        return broker.redis_server(directory, *options, port=port)
    except MissingProgramError as error:
        missing(str(error))


def kafka_server(
    directory: Path, *, port: int | None = None, reached_at: int | None = None
) -> Broker:
    """Return a broker of Kafka's protocol as `tests.broker.kafka_server` does."""
    try:
        return broker.kafka_server(directory, port=port, reached_at=reached_at)
    except MissingProgramError as error:
        missing(str(error))
