"""Live queries: when to read a query's result again."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from app.defaults import LIVE_QUERY_INTERVAL_SECONDS
from app.delivery.hub import Hub
from app.delivery.matching_turns import MatchingTurns
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import CompiledFilters
from app.domain.viewer import Permission, Viewer
from app.errors import DeliveryFailed

__all__ = ["Changes", "LiveQueryService"]

_UNASKED_MAX: Final = 100
"""Messages that wait for filters that may take long; with more the result is read again."""
_AGAIN_SECONDS: Final = 1.0
"""After a read that failed: the database is away for everybody."""


class LiveQueryService:
    """Tells when a query's result may have changed."""

    def __init__(
        self,
        hub: Hub,
        interval_seconds: float = LIVE_QUERY_INTERVAL_SECONDS,
        turns: MatchingTurns | None = None,
    ) -> None:
        """Take the parts.

        Args:
            hub: delivers.
            interval_seconds: the shortest time between two tellings.
            turns: of the process, for filters that may take long; None: its own.
        """
        self._hub = hub
        self._interval = interval_seconds
        self._turns = turns or MatchingTurns()

    async def watch(
        self,
        viewer: Viewer,
        channel: Channel,
        filters: CompiledFilters,
        on_closed: Callable[[], None] = lambda: None,
    ) -> "Changes":
        """Join the channel; the iterator yields now, and after each change, coalesced.

        Args:
            viewer: who asks; needs the rights to search and to subscribe.
            channel: where.
            filters: of the query; a message that they do not accept changes nothing.
            on_closed: called once when the iterator ends.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
            Unavailable: the database is away.
        """
        viewer.require(Permission.SUBSCRIBE, channel)
        viewer.require(Permission.SEARCH, channel)
        changes = Changes(self._hub, channel, filters, self._interval, on_closed, self._turns)
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
        filters: CompiledFilters,
        interval: float,
        on_closed: Callable[[], None],
        turns: MatchingTurns,
    ) -> None:
        self._hub = hub
        self._channel = channel
        self._filters = filters
        self._turns = turns
        self._unasked: deque[Message] = deque()
        self._interval = interval
        self._on_closed = on_closed
        self._changed = True
        """What is to be told: at first, that there is a result."""
        self._wake = asyncio.Event()
        self._earliest = 0.0
        self._failure: DeliveryFailed | None = None
        self._closed = False

    def deliver(self, messages: Sequence[Message]) -> None:
        """Take messages from the feed."""
        if self._changed:
            return
        stored = [message for message in messages if message.persistent]
        if self._filters.light:
            if any(map(self._filters.accept, stored)):
                self._notice()
        elif stored:
            self._unasked.extend(stored)
            self._wake.set()
            if len(self._unasked) > _UNASKED_MAX:
                self._notice()

    def dropped(self) -> None:
        """End with an error: changes would go unnoticed from here on."""
        self._failure = DeliveryFailed()
        self._notice()

    def restarted(self, position: int) -> None:  # noqa: ARG002
        """Yield: messages are gone."""
        self._notice()

    def look_again(self) -> None:
        """Yield soon, whatever changes: the result could not be read."""
        self._earliest = asyncio.get_running_loop().time() + _AGAIN_SECONDS
        self._notice()

    async def __anext__(self) -> None:
        """Wait for the next change.

        Raises:
            StopAsyncIteration: closed.
            DeliveryFailed: a message could not be looked at.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._earliest - loop.time()))
        while not self._changed:
            await self._wake.wait()
            self._wake.clear()
            await self._ask()
        if self._closed:
            raise StopAsyncIteration
        if self._failure is not None:
            await self.aclose()
            raise self._failure
        self._changed = False
        self._earliest = loop.time() + self._interval

    async def aclose(self) -> None:
        """Leave the channel. Idempotent."""
        if not self._closed:
            self._closed = True
            self._hub.leave(self._channel, self)
            self._notice()
            self._on_closed()

    def _notice(self) -> None:
        self._changed = True
        self._unasked.clear()
        self._wake.set()

    async def _ask(self) -> None:
        """Ask filters that may take long, each when it is this one's turn."""
        while self._unasked:
            if await self._turns.accept(self._filters, self._unasked.popleft()):
                self._notice()
