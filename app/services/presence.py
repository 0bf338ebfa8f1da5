"""Presence: how many connections a channel has, over all processes.

Each process counts its own in memory and writes the sums to the table, coalesced; the
count of a channel is its own sum and the living others'. The bus says when to look again,
and a heartbeat looks anyway, so a lost event or a dead process is noticed in seconds.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from app.defaults import COUNT_INTERVAL_SECONDS, PRESENCE_HEARTBEAT_SECONDS
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.viewer import Permission, Viewer
from app.errors import Unavailable
from app.services.live.counts import CountSource, EventOf, WatchedChannel
from app.services.live.patience import patiently
from app.services.rights import Rights
from app.storage.presence import PresenceStore
from app.telemetry.log_fields import event

__all__ = ["PresenceService"]

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
        interval_seconds: float = COUNT_INTERVAL_SECONDS,
        heartbeat_seconds: float = PRESENCE_HEARTBEAT_SECONDS,
        rights: Rights | None = None,
    ) -> None:
        """Take the parts.

        Args:
            hub: tells other processes, and is told by them.
            store: the table.
            interval_seconds: changes are written, and watchers told, at most this often.
            heartbeat_seconds: how often the lease is renewed and watched counts are read.
            rights: of the process; None: nobody is ever banned.
        """
        self._hub = hub
        self._store = store
        self._interval = interval_seconds
        self._heartbeat = heartbeat_seconds
        self._rights = rights or Rights()
        self._own: dict[Channel, int] = {}
        self._watched: dict[Channel, WatchedChannel] = {}
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
        """Give the lease back: this process's connections count no more.

        Those who left just now are told of with the others: their channels too have a row.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT_SECONDS):
                await self._store.leave()
        except (Unavailable, TimeoutError):
            logger.info("the presence lease was not given back; it ends by itself")
        for channel in self._own.keys() | self._unwritten:
            self._hub.publish_presence(channel)

    @property
    def counted(self) -> int:
        """Connections that this process counts, each once a channel."""
        return sum(self._own.values())

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
        self._rights.require(viewer, Permission.SUBSCRIBE, channel)
        return (await self.counts([channel]))[channel]

    async def counts(self, channels: Sequence[Channel]) -> dict[Channel, int]:
        """Return how many connections each channel has now; rights are the caller's affair.

        Raises:
            Unavailable: the database is away.
        """
        others = await self._store.others(channels)
        return {channel: count + self._own.get(channel, 0) for channel, count in others.items()}

    async def watch(
        self, viewer: Viewer, channel: Channel, event_of: EventOf = lambda count: count
    ) -> CountSource:
        """Return the live count: now and every change, coalesced, the last value always.

        Args:
            viewer: who asks.
            channel: whose connections.
            event_of: makes the event that a response is made of.

        Raises:
            Forbidden, Unauthenticated: the viewer may not subscribe.
            Unavailable: the database has been away for 30 s.
        """
        self._rights.require(viewer, Permission.SUBSCRIBE, channel)
        return await patiently(partial(self._source, channel, event_of))

    async def _source(self, channel: Channel, event_of: EventOf) -> CountSource:
        watched = self._watched.get(channel)
        if watched is None:
            watched = self._watched[channel] = WatchedChannel(
                channel,
                self._hub,
                self._store,
                lambda: self._own.get(channel, 0),
                self._interval,
                lambda: self._watched.pop(channel, None),
            )
        return await watched.source(event_of)

    def _add(self, channel: Channel, change: int) -> None:
        count = self._own.get(channel, 0) + change
        assert count >= 0, "left more often than joined"
        if count:
            self._own[channel] = count
        else:
            del self._own[channel]
        self._unwritten.add(channel)
        self._wake.set()
        if (watched := self._watched.get(channel)) is not None:
            watched.tell()

    def _changed_elsewhere(self, channel: Channel) -> None:
        if channel in self._watched:
            self._unread.add(channel)
            self._wake.set()

    async def _exchange_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._write()
                await self._read()
            except Unavailable:
                # What was not written or read stays noted; the heartbeat wakes us again.
                logger.info(
                    "connection counts wait for the database",
                    extra=event("database.waited_for", what="counts"),
                )
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
        asked_at = asyncio.get_running_loop().time()
        try:
            others = await self._store.others(list(channels))
        except BaseException:
            self._unread |= channels
            raise
        for channel, count in others.items():
            if (watched := self._watched.get(channel)) is not None:
                watched.set_others(count, asked_at)

    async def _beat_forever(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(self._heartbeat)
            beats += 1
            # Whoever died says nothing: look at everything that is watched.
            self._unread |= self._watched.keys()
            self._wake.set()
            try:
                if await self._store.renew():
                    # This process was taken for dead and its rows swept: it slept too long.
                    self._unwritten |= self._own.keys()
                if beats % _SWEEP_EVERY_BEATS == 0:
                    await self._store.sweep()
            except Unavailable:
                # The lease may run out: the rows are written again when the base is back.
                self._unwritten |= self._own.keys()
            except Exception:
                logger.exception("the presence lease could not be renewed")
