"""What events travel over, one of each kind, for one suite of tests on all of them."""

import asyncio
from typing import Protocol

import asyncpg

from app.delivery.backends.backend import Backend
from app.delivery.backends.kafka import KafkaBackend
from app.delivery.backends.memory import MemoryBackend
from app.delivery.backends.postgres import PostgresBackend
from app.delivery.backends.redis import RedisBackend
from tests.broker import Broker

__all__ = ["KafkaMedium", "Medium", "MemoryMedium", "PostgresMedium", "RedisMedium"]


class Medium(Protocol):
    """One broker, and the link to it that can be cut."""

    joins_processes: bool

    def backend(self) -> Backend:
        """Return a backend that is not connected yet."""

    async def cut(self) -> None:
        """Break every connection there is."""

    async def restore(self) -> None:
        """Let connections be made again."""


class MemoryMedium:
    """One process, no link."""

    joins_processes = False

    def backend(self) -> Backend:
        return MemoryBackend()

    async def cut(self) -> None:
        raise AssertionError("there is nothing to cut")

    async def restore(self) -> None:
        raise AssertionError("there is nothing to restore")


class PostgresMedium:
    """Notifications of one database; its connections are ended by the server."""

    joins_processes = True

    def __init__(self, url: str) -> None:
        self._url = url

    def backend(self) -> Backend:
        return PostgresBackend(self._url)

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

    def backend(self) -> Backend:
        return RedisBackend(self.broker.url)


class KafkaMedium(_Brokered):
    """A broker of Kafka's protocol that is killed and started again, and forgets all."""

    def backend(self) -> Backend:
        return KafkaBackend(self.broker.url)
