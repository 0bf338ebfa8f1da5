"""Presence: how many connections a channel has, over all processes.

Each process counts its own in memory and writes the sums to the table, coalesced; the
count of a channel is its own sum and the living others'. The bus says when to look again,
and a heartbeat looks anyway, so a lost event or a dead process is noticed in seconds.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Final

from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.viewer import Permission, Viewer
from app.errors import Unavailable
from app.services.closable import Closable
from app.storage.presence import PresenceStore

__all__ = ["ConnectionPresence", "PresenceService"]

logger = logging.getLogger(__name__)

_SWEEP_EVERY_BEATS: Final = 60
_LEAVE_TIMEOUT_SECONDS: Final = 2.0


class PresenceService:
    """Counts connections."""

    def __init__(
        self,
        hub: Hub,
        store: PresenceStore,
        *,
        interval_seconds: float = 0.25,
        heartbeat_seconds: float = 2.0,
    ) -> None:
        """Take the parts.

        Args:
            hub: tells other processes, and is told by them.
            store: the table.
            interval_seconds: changes are written, and watchers told, at most this often.
            heartbeat_seconds: how often the lease is renewed and watched counts are read.
        """
        self._hub = hub
        self._store = store
        self._interval = interval_seconds
        self._heartbeat = heartbeat_seconds
        self._own: dict[Channel, int] = {}
        self._others: dict[Channel, int] = {}
        """The other processes' sums, for the channels that are watched here."""
        self._watchers: dict[Channel, dict[_Counts, None]] = {}
        self._unwritten: set[Channel] = set()
        self._unread: set[Channel] = set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take the lease and begin to exchange counts."""
        await self._store.renew()
        self._hub.on_presence = self._changed_elsewhere
        self._tasks = [
            asyncio.create_task(self._exchange_forever(), name="presence exchange"),
            asyncio.create_task(self._beat_forever(), name="presence heartbeat"),
        ]

    async def stop(self) -> None:
        """Give the lease back: this process's connections count no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(Unavailable, TimeoutError):
            await asyncio.wait_for(self._store.leave(), _LEAVE_TIMEOUT_SECONDS)
        for channel in self._own:
            self._hub.publish_presence(channel)

    def join(self, channel: Channel) -> None:
        """Count one connection more."""
        self._add(channel, 1)

    def leave(self, channel: Channel) -> None:
        """Count one connection less."""
        self._add(channel, -1)

    async def count(self, viewer: Viewer, channel: Channel) -> int:
        """Return how many connections the channel has now.

        Raises:
            Forbidden, Unauthenticated: the viewer may not subscribe.
            Unavailable: the database is away.
        """
        viewer.require(Permission.SUBSCRIBE, channel)
        others = await self._store.others([channel])
        return others[channel] + self._own.get(channel, 0)

    async def watch(self, viewer: Viewer, channel: Channel) -> Closable[int]:
        """Return the count now and every change, coalesced, the last value always.

        Raises:
            Forbidden, Unauthenticated: the viewer may not subscribe.
            Unavailable: the database is away.
        """
        viewer.require(Permission.SUBSCRIBE, channel)
        counts = _Counts(self, channel, self._interval)
        self._watchers.setdefault(channel, {})[counts] = None
        try:
            # Joining makes this process hear the channel's events.
            await self._hub.join(channel, counts)
            self._others.update(await self._store.others([channel]))
        except BaseException:
            await counts.aclose()
            raise
        return counts

    def known_count(self, channel: Channel) -> int:
        """Return the count of a channel that is watched here, as far as it is known."""
        return self._others.get(channel, 0) + self._own.get(channel, 0)

    def unwatch(self, channel: Channel, counts: "_Counts") -> None:
        """Forget a watcher. Idempotent."""
        self._hub.leave(channel, counts)
        watchers = self._watchers.get(channel, {})
        watchers.pop(counts, None)
        if not watchers:
            self._watchers.pop(channel, None)
            self._others.pop(channel, None)

    def _add(self, channel: Channel, change: int) -> None:
        count = self._own.get(channel, 0) + change
        assert count >= 0, "left more often than joined"
        if count:
            self._own[channel] = count
        else:
            del self._own[channel]
        self._unwritten.add(channel)
        self._wake.set()
        self._tell(channel)

    def _changed_elsewhere(self, channel: Channel) -> None:
        if channel in self._watchers:
            self._unread.add(channel)
            self._wake.set()

    def _tell(self, channel: Channel) -> None:
        for watcher in self._watchers.get(channel, ()):
            watcher.changed()

    async def _exchange_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._write()
                await self._read()
            except Unavailable:
                # What was not written or read stays noted; the heartbeat wakes us again.
                logger.info("connection counts wait for the database")
            except Exception:
                logger.exception("connection counts could not be exchanged")
            await asyncio.sleep(self._interval)

    async def _write(self) -> None:
        if not self._unwritten:
            return
        channels, self._unwritten = self._unwritten, set()
        try:
            await self._store.write({channel: self._own.get(channel, 0) for channel in channels})
        except BaseException:
            self._unwritten |= channels
            raise
        for channel in channels:
            self._hub.publish_presence(channel)

    async def _read(self) -> None:
        if not self._unread:
            return
        channels, self._unread = self._unread, set()
        try:
            others = await self._store.others(list(channels))
        except BaseException:
            self._unread |= channels
            raise
        for channel, count in others.items():
            if channel in self._watchers and self._others.get(channel) != count:
                self._others[channel] = count
                self._tell(channel)

    async def _beat_forever(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(self._heartbeat)
            beats += 1
            # Whoever died says nothing: look at everything that is watched.
            self._unread |= self._watchers.keys()
            self._wake.set()
            try:
                await self._store.renew()
                if beats % _SWEEP_EVERY_BEATS == 0:
                    await self._store.sweep()
            except Unavailable:
                # The lease may run out: the rows are written again when the base is back.
                self._unwritten |= self._own.keys()
            except Exception:
                logger.exception("the presence lease could not be renewed")


class ConnectionPresence:
    """One connection's part: it counts once per channel, however many subscriptions it has."""

    def __init__(self, presence: PresenceService) -> None:
        self._presence = presence
        self._subscriptions: dict[Channel, int] = {}

    def enter(self, channel: Channel) -> Callable[[], None]:
        """Take note of one more subscription; return what ends it. That is idempotent."""
        count = self._subscriptions.get(channel, 0)
        self._subscriptions[channel] = count + 1
        if not count:
            self._presence.join(channel)
        return _Once(self._leave, channel)

    def _leave(self, channel: Channel) -> None:
        count = self._subscriptions.get(channel, 0)
        if count == 1:
            del self._subscriptions[channel]
            self._presence.leave(channel)
        elif count:
            self._subscriptions[channel] = count - 1

    def close(self) -> None:
        """Leave all channels: the connection is gone. Idempotent."""
        for channel in self._subscriptions:
            self._presence.leave(channel)
        self._subscriptions.clear()


class _Once:
    """A call that happens at most once."""

    def __init__(self, leave: Callable[[Channel], None], channel: Channel) -> None:
        self._leave: Callable[[Channel], None] | None = leave
        self._channel = channel

    def __call__(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(self._channel)


class _Counts(AsyncIterator[int]):
    """The counts of one watcher; joins the channel for its presence events only.

    No async generator: one that is closed before its first step never runs its `finally`.
    """

    def __init__(self, presence: PresenceService, channel: Channel, interval: float) -> None:
        self._presence = presence
        self._channel = channel
        self._interval = interval
        self._changed = asyncio.Event()
        self._told: int | None = None
        self._earliest = 0.0
        self._closed = False

    def deliver(self, messages: Sequence[Message]) -> None:
        """Messages are none of its business."""

    def changed(self) -> None:
        """Look at the count again."""
        self._changed.set()

    async def __anext__(self) -> int:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, self._earliest - loop.time()))
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            count = self._presence.known_count(self._channel)
            if count != self._told:
                self._told = count
                self._earliest = loop.time() + self._interval
                return count
            await self._changed.wait()

    async def aclose(self) -> None:
        """Stop watching. Idempotent."""
        if not self._closed:
            self._closed = True
            self._presence.unwatch(self._channel, self)
            self._changed.set()
