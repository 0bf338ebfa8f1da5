"""Live queries: when to read a query's result again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import MessageQuery, compile_filter
from app.domain.viewer import Permission, Viewer
from app.errors import DeliveryFailed

__all__ = ["Changes", "LiveQueryService"]

_AGAIN_SECONDS: Final = 1.0
"""After a read that failed: the database is away for everybody."""


class LiveQueryService:
    """Tells when a query's result may have changed."""

    def __init__(self, hub: Hub, interval_seconds: float = 0.25) -> None:
        """Take the shortest time between two tellings, in seconds."""
        self._hub = hub
        self._interval = interval_seconds

    async def watch(
        self,
        viewer: Viewer,
        channel: Channel,
        query: MessageQuery,
        on_closed: Callable[[], None] = lambda: None,
    ) -> "Changes":
        """Join the channel; the iterator yields now, and after each change, coalesced.

        Args:
            viewer: who asks; needs the rights to search and to subscribe.
            channel: where.
            query: a message that none of its filters accepts changes nothing.
            on_closed: called once when the iterator ends.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
            Unavailable: the database is away.
        """
        viewer.require(Permission.SUBSCRIBE, channel)
        viewer.require(Permission.SEARCH, channel)
        changes = Changes(self._hub, channel, query, self._interval, on_closed)
        try:
            await self._hub.join(channel, changes)
        except BaseException:
            await changes.aclose()
            raise
        return changes


class Changes(AsyncIterator[None]):
    """Notices stored messages that the query's filters accept.

    No async generator: one that is closed before its first step never runs its `finally`.
    """

    def __init__(
        self,
        hub: Hub,
        channel: Channel,
        query: MessageQuery,
        interval: float,
        on_closed: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._channel = channel
        self._tests = [compile_filter(one) for one in query.filters]
        self._interval = interval
        self._on_closed = on_closed
        self._noticed = asyncio.Event()
        self._noticed.set()
        self._earliest = 0.0
        self._failure: DeliveryFailed | None = None
        self._closed = False

    def deliver(self, messages: Sequence[Message]) -> None:
        """Take messages from the feed."""
        if not self._noticed.is_set() and any(map(self._concerns, messages)):
            self._noticed.set()

    def dropped(self) -> None:
        """End with an error: changes would go unnoticed from here on."""
        self._failure = DeliveryFailed()
        self._noticed.set()

    def look_again(self) -> None:
        """Yield soon, whatever changes: the result could not be read."""
        self._earliest = asyncio.get_running_loop().time() + _AGAIN_SECONDS
        self._noticed.set()

    async def __anext__(self) -> None:
        """Wait for the next change.

        Raises:
            StopAsyncIteration: closed.
            DeliveryFailed: a message could not be looked at.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._earliest - loop.time()))
        await self._noticed.wait()
        if self._closed:
            raise StopAsyncIteration
        if self._failure is not None:
            await self.aclose()
            raise self._failure
        self._noticed.clear()
        self._earliest = loop.time() + self._interval

    async def aclose(self) -> None:
        """Leave the channel. Idempotent."""
        if not self._closed:
            self._closed = True
            self._hub.leave(self._channel, self)
            self._noticed.set()
            self._on_closed()

    def _concerns(self, message: Message) -> bool:
        return message.persistent and all(test(message) for test in self._tests)
