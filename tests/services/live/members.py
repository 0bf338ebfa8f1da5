"""A member that keeps what it is given."""

import asyncio
from collections.abc import Sequence

__all__ = ["Recorded"]


class Recorded:
    """A member of any group."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.errors: list[Exception] = []
        self._given = asyncio.Event()

    def receive(self, payloads: Sequence[bytes]) -> None:
        self.payloads.extend(payloads)
        self._given.set()

    def fail(self, error: Exception) -> None:
        self.errors.append(error)
        self._given.set()

    async def drained(self) -> None:
        return

    async def has_so_many(self, number: int) -> None:
        """Wait until so many were given."""
        async with asyncio.timeout(10):
            while len(self.payloads) < number:
                self._given.clear()
                await self._given.wait()

    async def has(self, payload: bytes) -> None:
        """Wait until this was given last."""
        async with asyncio.timeout(10):
            while payload not in self.payloads[-1:]:
                self._given.clear()
                await self._given.wait()

    async def has_failed(self) -> None:
        """Wait until it was failed."""
        async with asyncio.timeout(10):
            while not self.errors:
                self._given.clear()
                await self._given.wait()
