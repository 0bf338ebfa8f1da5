"""A channel whose connections are watched here, and those who watch.

However many watch, the channel is joined once, the other processes' sum is read once, and a
storm of changes is told once in a while.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.message import Message
from app.storage.presence import PresenceStore

__all__ = ["Counts", "WatchedChannel"]

_COALESCED_SECONDS: Final = 0.05
"""Changes within this time are told together: ten thousand joins in a second are few tellings."""


class WatchedChannel:
    """One channel; a subscriber of its feed for the presence events that come with it."""

    def __init__(
        self,
        channel: Channel,
        hub: Hub,
        store: PresenceStore,
        own: Callable[[], int],
    ) -> None:
        """Take what the count is made of: `own` tells this process's part."""
        self._channel = channel
        self._hub = hub
        self._store = store
        self._own = own
        self._others = 0
        self._asked_at = 0.0
        self._watchers: dict[Counts, None] = {}
        self._opening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """The connections of all processes, as far as it is known."""
        return self._others + self._own()

    def deliver(self, messages: Sequence[Message]) -> None:
        """Messages are none of its business."""

    def dropped(self) -> None:
        """Nothing it does with messages can fail."""

    def watch(self, interval: float, on_unwatched: Callable[[], object]) -> "Counts":
        """Return the counts for one more watcher; await `opened` before they are read.

        Args:
            interval: told at most this often, in seconds.
            on_unwatched: called when the last watcher is gone.
        """
        counts = Counts(self, interval, lambda: self._unwatch(counts, on_unwatched))
        self._watchers[counts] = None
        return counts

    async def opened(self) -> None:
        """Wait until the count is known.

        Raises:
            Unavailable: the database is away.
        """
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        opening = self._opening
        try:
            # Shielded: whoever gives up must not take it from the others.
            await asyncio.shield(opening)
        except BaseException:
            if opening.done() and self._opening is opening:
                self._opening = None  # the next one tries again
            raise

    def set_others(self, count: int, asked_at: float) -> None:
        """Take the sum of the other processes.

        Args:
            count: as it was read.
            asked_at: the loop's time when the reading began. Of two readings that overtake
                each other the one that began later holds.
        """
        if asked_at < self._asked_at:
            return
        self._asked_at = asked_at
        if count != self._others:
            self._others = count
            self.tell()

    def tell(self) -> None:
        """Let the watchers look at the count again, soon."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_COALESCED_SECONDS, self._tell_now)

    def _tell_now(self) -> None:
        self._timer = None
        for counts in self._watchers:
            counts.changed()

    async def _open(self) -> None:
        # Joining makes this process hear the channel's events; what they change after the
        # sum is read is read again.
        await self._hub.join(self._channel, self)
        asked_at = asyncio.get_running_loop().time()
        others = await self._store.others([self._channel])
        self.set_others(others[self._channel], asked_at)

    def _unwatch(self, counts: "Counts", on_unwatched: Callable[[], object]) -> None:
        self._watchers.pop(counts, None)
        if not self._watchers:
            self._hub.leave(self._channel, self)
            if self._opening is not None:
                self._opening.cancel()
            if self._timer is not None:
                self._timer.cancel()
            on_unwatched()


class Counts(AsyncIterator[int]):
    """The counts of one watcher.

    No async generator: one that is closed before its first step never runs its `finally`.
    """

    def __init__(
        self, watched: WatchedChannel, interval: float, on_closed: Callable[[], None]
    ) -> None:
        self._watched = watched
        self._interval = interval
        self._on_closed = on_closed
        self._changed = asyncio.Event()
        self._told: int | None = None
        self._earliest = 0.0
        self._closed = False

    def changed(self) -> None:
        """Look at the count again."""
        self._changed.set()

    async def __anext__(self) -> int:
        loop = asyncio.get_running_loop()
        while True:
            if (early := self._earliest - loop.time()) > 0:
                await asyncio.sleep(early)
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            count = self._watched.count
            if count != self._told:
                self._told = count
                self._earliest = loop.time() + self._interval
                return count
            await self._changed.wait()

    async def aclose(self) -> None:
        """Stop watching. Idempotent."""
        if not self._closed:
            self._closed = True
            self._on_closed()
            self._changed.set()
