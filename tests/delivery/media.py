"""What events travel over, one of each kind, for one suite of tests on all of them."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import asyncpg
from broadcaster import BroadcastBackend
from broadcaster._backends.memory import MemoryBackend

from app.delivery.kafka_backend import KafkaBackend
from app.delivery.postgres_backend import PostgresBackend
from app.delivery.redis_backend import RedisBackend
from tests.delivery.brokers import Broker

__all__ = ["KafkaMedium", "Medium", "MemoryMedium", "PostgresMedium", "RedisMedium"]


class Medium(Protocol):
    """One broker, and the link to it that can be cut."""

    joins_processes: bool

    def backend(self, on_missed: Callable[[], None]) -> BroadcastBackend:
        """Return a backend that is not connected yet."""

    async def cut(self) -> None:
        """Break every connection there is."""

    async def restore(self) -> None:
        """Let connections be made again."""


class MemoryMedium:
    """broadcaster's own: one process, no link."""

    joins_processes = False

    def backend(self, on_missed: Callable[[], None]) -> BroadcastBackend:  # noqa: ARG002
        return MemoryBackend("memory://")

    async def cut(self) -> None:
        raise AssertionError("there is nothing to cut")

    async def restore(self) -> None:
        raise AssertionError("there is nothing to restore")


class PostgresMedium:
    """Notifications of one database; its connections are ended by the server."""

    joins_processes = True

    def __init__(self, url: str) -> None:
        self._url = url

    def backend(self, on_missed: Callable[[], None]) -> BroadcastBackend:
        return PostgresBackend(self._url, on_missed)

    async def cut(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=10)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()

    async def restore(self) -> None:
        pass


class _Brokered:
    joins_processes = True

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    async def cut(self) -> None:
        await asyncio.to_thread(self.broker.kill)

    async def restore(self) -> None:
        await asyncio.to_thread(self.broker.start)


class RedisMedium(_Brokered):
    """A Redis that is killed and started again."""

    def backend(self, on_missed: Callable[[], None]) -> BroadcastBackend:
        return RedisBackend(self.broker.url, on_missed)


class KafkaMedium(_Brokered):
    """A broker of Kafka's protocol that is killed and started again, and forgets all."""

    def backend(self, on_missed: Callable[[], None]) -> BroadcastBackend:
        return KafkaBackend(self.broker.url, on_missed)
