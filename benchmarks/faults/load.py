"""Publishing at a steady rate, whatever happens: sent again until it is acknowledged."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from benchmarks import wire
from benchmarks.faults.client import Address
from benchmarks.faults.links import Dropped, HttpLink, LegacyLink, Link, SocketLink, Unavailable

__all__ = ["FLAT_OUT", "Load"]

FLAT_OUT: Final = 1e9
"""A rate that nobody reaches: each publishes again as soon as it is answered."""

_HTTP_LINKS: Final = 16
_SOCKET_LINKS: Final = 4
_LEGACY_LINKS: Final = 2
_LANES: Final = 4
"""Publishes at a time on one socket."""
_PAUSE_SECONDS: Final = (0.05, 0.5)


class Load:
    """Sixteen HTTP clients, four graphql-transport-ws sockets and two legacy ones.

    A publish that is late is sent as soon as somebody is free: after an outage they catch up.

    Args:
        address: of the server.
        widget: the channel.
    """

    legacy_sockets: Final = _LEGACY_LINKS
    """Its connections that the channel counts."""

    def __init__(self, address: Address, widget: str) -> None:
        sockets: list[Link] = [SocketLink(address, widget) for _ in range(_SOCKET_LINKS)]
        sockets += [LegacyLink(address, widget) for _ in range(_LEGACY_LINKS)]
        self._links: list[Link] = [HttpLink(address, widget) for _ in range(_HTTP_LINKS)]
        self._lanes: Sequence[Link] = (*self._links, *(s for s in sockets for _ in range(_LANES)))
        self._links += sockets
        self._tasks: list[asyncio.Task[None]] = []
        self._began = 0.0
        self._per_second = 0.0
        self._next = self._first = 1
        self._last: int | None = None
        self.length = len(wire.DATA)
        """Of the data, in characters."""
        self.acked: dict[int, float] = {}
        """When each number was acknowledged, in the loop's seconds."""
        self.under_way: set[int] = set()
        self.dropped: set[int] = set()
        """Numbers of which a try ended with the connection."""
        self.wrong: list[str] = []
        """Other errors that publishes were answered with: there should be none."""
        self.refused = 0
        """Tries that were answered with UNAVAILABLE."""

    @property
    def publishers(self) -> int:
        """How many publishes may be under way at a time."""
        return len(self._lanes)

    @property
    def published(self) -> int:
        """How many numbers were given out to be published."""
        return self._next - 1

    async def exactly(self, count: int) -> None:
        """Publish so many, as fast as they are acknowledged."""
        self._last = self._next + count - 1
        self.start(FLAT_OUT)
        await self._done()
        self._last = None

    def start(self, per_second: float) -> None:
        """Begin to publish at a rate, without an end."""
        self.rate(per_second)
        self._tasks = [asyncio.create_task(self._lane(link)) for link in self._lanes]

    def rate(self, per_second: float) -> None:
        """Go on at another rate; what waits for its time already waits for that."""
        self._began = asyncio.get_running_loop().time()
        self._first, self._per_second = self._next, per_second

    async def finish(self, seconds: float = 60.0) -> None:
        """Publish nothing new; wait until all that was sent is acknowledged.

        Raises:
            TimeoutError: it is not, so many seconds later.
        """
        self._last = self._next - 1
        async with asyncio.timeout(seconds):
            await self._done()
        for link in self._links:
            link.close()

    async def _done(self) -> None:
        await asyncio.gather(*self._tasks)
        self._tasks = []

    async def _lane(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        while self._last is None or self._next <= self._last:
            number, self._next = self._next, self._next + 1
            due = self._began + (number - self._first) / self._per_second
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.under_way.add(number)
            await self._publish(link, number)
            self.under_way.discard(number)
            self.acked[number] = loop.time()

    async def _publish(self, link: Link, number: int) -> None:
        while True:
            try:
                await link.publish(number, self.length)
            except Dropped:
                self.dropped.add(number)
            except Unavailable:
                self.refused += 1
            except RuntimeError as error:
                self.wrong.append(str(error))
            else:
                return
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
