"""The hub: the feeds of this process, and the way between them and the bus."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, Final, NoReturn

from app.delivery.budget import Budget
from app.delivery.bus import Bus
from app.delivery.delivery_times import DeliveryTimes
from app.delivery.events import (
    Deleted,
    Event,
    Held,
    PresenceChanged,
    Stored,
    entries_of,
    message_of,
    stored_event,
    transient_event,
)
from app.delivery.feed import Feed, History, Subscriber
from app.delivery.supervision import keep_running
from app.domain.channel import Channel
from app.domain.entry import PolicyChange, Retraction, StoredEntry
from app.domain.message import Head, Message
from app.errors import Unavailable
from app.telemetry.traces import TRACES

__all__ = ["Hub"]

logger = logging.getLogger(__name__)

_LINGER_SECONDS: Final = 10.0
"""A feed without subscribers stays this long: widgets come back after a reload."""
_AHEAD_MAX: Final = 20_000
_AHEAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""What came before its turn, over all channels; more is read from the table when it is due."""
_POLL_SECONDS: Final = 5.0
"""How often the table's heads are compared with the feeds: the most a lost event costs."""
_DELETED_SECONDS: Final = 0.1
"""Deletions that are told within this are looked at together: a large one has many batches."""


class Hub:
    """Joins subscribers to channels and dispatches to them."""

    def __init__(
        self,
        bus: Bus,
        history: History,
        after_writes: Callable[[Callable[[], None]], None] = lambda call: call(),
    ) -> None:
        """Take the parts.

        Args:
            bus: not started.
            history: the table.
            after_writes: calls something once all that was given to sockets is written.
        """
        self._bus = bus
        self._history = history
        self.times = DeliveryTimes(after_writes)
        self.published = 0
        """Messages that this process has stored and told of."""
        self.published_transient = 0
        self.retracted = 0
        """Messages that this process has taken back."""
        self.ahead = Budget(_AHEAD_MAX, _AHEAD_BYTES_MAX)
        """Messages that came before their turn."""
        self._feeds: dict[Channel, Feed] = {}
        self._opening: dict[Channel, asyncio.Task[None]] = {}
        self._closing: dict[Channel, asyncio.TimerHandle] = {}
        self._closed_later: set[asyncio.Task[None]] = set()
        self._poll_now = asyncio.Event()
        self._poller: asyncio.Task[NoReturn] | None = None
        self._deleted: set[Channel] = set()
        """Where another process has deleted messages, not looked at yet."""
        self._deleted_looker: asyncio.Task[None] | None = None
        self.on_presence: Callable[[Channel], None] = lambda _channel: None
        """Told of another process's presence changes."""
        self.on_held: Callable[[Channel], None] = lambda _channel: None
        """Told of messages that another process holds."""

    async def start(self) -> None:
        """Connect to the bus and begin to compare."""
        await self._bus.start(self._receive, self.missed)
        poll = keep_running("head poll", self._poll_forever)
        self._poller = asyncio.create_task(poll, name="head poll")

    async def stop(self) -> None:
        """Close all feeds and disconnect."""
        for handle in self._closing.values():
            handle.cancel()
        tasks: list[asyncio.Task[Any]] = [*self._opening.values(), *self._closed_later]
        tasks += [task for task in (self._poller, self._deleted_looker) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()
        await self._bus.stop()

    @property
    def bus(self) -> Bus:
        """What it sends over; to be looked at only."""
        return self._bus

    @property
    def channels(self) -> int:
        """How many channels have a feed here."""
        return len(self._feeds)

    async def trouble(self) -> str | None:
        """Return None while events flow, by observation; else what is wrong."""
        return await self._bus.trouble()

    def missed(self) -> None:
        """Take note that events may have been lost: compare with the table now."""
        self._poll_now.set()

    async def join(self, channel: Channel, subscriber: Subscriber) -> int:
        """Deliver to a subscriber what is published from now on; each wants one `leave`.

        Returns:
            The sequence after which everything stored will be delivered.

        Raises:
            Unavailable: the channel's head cannot be read now.
        """
        while (position := self._join_now(channel, subscriber)) is None:
            opening = self._opening.get(channel)
            if opening is None:
                opening = asyncio.create_task(self._open(channel), name=f"open {channel.key}")
                self._opening[channel] = opening
            # Shielded: whoever gives up must not take it from the others.
            await asyncio.shield(opening)
        return position

    def join_open(self, channel: Channel, subscriber: Subscriber) -> None:
        """Join a channel that somebody else has joined: at once, without a gap between them.

        Raises:
            Unavailable: the channel is not open.
        """
        if self._join_now(channel, subscriber) is None:
            raise Unavailable(f"channel {channel.key} is not open; retry later")

    def leave(self, channel: Channel, subscriber: Subscriber) -> None:
        """Deliver no more. Idempotent."""
        feed = self._feeds.get(channel)
        if feed is None:
            return
        feed.subscribers.pop(subscriber, None)
        # One without a position is being opened: its opening sees to it.
        if not feed.subscribers and feed.position is not None:
            self._linger(channel)

    def reach(self, channel: Channel, sequence: int) -> None:
        """Take note that a channel's messages up to `sequence` are committed."""
        if (feed := self._feeds.get(channel)) is not None:
            feed.reach(sequence)

    def notice(self, channel: Channel, head: Head) -> None:
        """Take note of a channel's head as it was just read: messages may have been deleted."""
        if (feed := self._feeds.get(channel)) is not None and feed.place is not None:
            feed.notice(head)

    def last_created(self, channel: Channel) -> int:
        """Return the newest `created` seen of a channel; 0 where none was."""
        feed = self._feeds.get(channel)
        return feed.last_created if feed is not None else 0

    def publish_stored(self, entries: Sequence[StoredEntry]) -> None:
        """Dispatch what this process has just committed, and tell the others."""
        in_order = sorted(entries, key=lambda one: (one.channel.key, one.sequence))
        self._count(entries)
        self.times.committed_at = time.monotonic()
        try:
            for channel, group in groupby(in_order, key=lambda one: one.channel):
                try:
                    self._publish_stored(channel, list(group))
                except Exception:
                    # It is committed: its publisher is answered, and the table has it for all.
                    logger.exception("what was stored in %s could not be dispatched", channel.key)
                    self.missed()
        finally:
            self.times.committed_at = None

    def _publish_stored(self, channel: Channel, entries: list[StoredEntry]) -> None:
        feed = self._feeds.get(channel)
        for run in _consecutive(entries):
            if feed is not None:
                feed.stored(run)
            self._bus.post(channel, stored_event(self._bus.origin, run))

    def _count(self, entries: Sequence[StoredEntry]) -> None:
        self.published += len(entries)
        for entry in entries:
            if isinstance(entry, Retraction):
                self.published -= 1
                self.retracted += len(entry.ids)

    def publish_transient(self, message: Message) -> None:
        """Dispatch a message that is not stored, and tell the others.

        Raises:
            Unavailable: 10,000 events, or 8 MiB of them, wait to be sent. Nobody was given it.
            PayloadTooLarge: the broker takes no event of this size. Nobody was given it.
        """
        if not self._bus.post(message.channel, transient_event(self._bus.origin, message)):
            raise Unavailable("too many messages wait to be sent to other processes; retry later")
        self.published_transient += 1
        if (feed := self._feeds.get(message.channel)) is not None:
            self.times.committed_at = time.monotonic()
            try:
                feed.transient(message)
            finally:
                self.times.committed_at = None

    def tell_policy(self, change: PolicyChange) -> None:
        """Give a channel's new policy to those of this process who listen to the channel."""
        if (feed := self._feeds.get(change.channel)) is not None:
            feed.policy_changed(change)

    def publish_presence(self, channel: Channel) -> None:
        """Tell the others that a channel's connections changed."""
        self._bus.post(channel, PresenceChanged(self._bus.origin, channel.key))

    def publish_held(self, channel: Channel) -> None:
        """Tell the others that messages of a channel wait for a moderator."""
        self._bus.post(channel, Held(self._bus.origin, channel.key))

    async def publish_deleted(self, channel: Channel) -> None:
        """Forget what was made of messages that are deleted by now, and tell the others.

        When this returns, nothing that this process shows from then on has them.
        """
        self._bus.post(channel, Deleted(self._bus.origin, channel.key))
        self._history.forget(channel)
        try:
            await self._compare([channel])
        except Unavailable:
            # Where the channel ends now is found by the poll; what is known is enough for this.
            if (feed := self._feeds.get(channel)) is not None:
                feed.deleted()

    def _join_now(self, channel: Channel, subscriber: Subscriber) -> int | None:
        """Join if the channel's feed has a position, and return that."""
        feed = self._feeds.get(channel)
        if feed is None or feed.position is None:
            return None
        feed.subscribers[subscriber] = None
        if (handle := self._closing.pop(channel, None)) is not None:
            handle.cancel()
        return feed.position

    async def _open(self, channel: Channel) -> None:
        feed = Feed(channel, self._history, self.ahead)
        try:
            # First the events, then the head: what is committed in between comes twice
            # rather than never.
            await self._bus.open(channel)
            self._feeds[channel] = feed
            try:
                heads = await self._history.heads([channel])
            except BaseException:
                self._feeds.pop(channel).close()
                await self._bus.close(channel)
                raise
            feed.open_at(heads[channel])
            self._linger(channel)
        finally:
            del self._opening[channel]

    def _linger(self, channel: Channel) -> None:
        if channel not in self._closing:
            loop = asyncio.get_running_loop()
            self._closing[channel] = loop.call_later(_LINGER_SECONDS, self._close, channel)

    def _close(self, channel: Channel) -> None:
        del self._closing[channel]
        if self._feeds[channel].subscribers:
            return
        self._feeds.pop(channel).close()
        task = asyncio.create_task(self._bus.close(channel), name=f"close {channel.key}")
        self._closed_later.add(task)
        task.add_done_callback(self._closed_later.discard)

    def _receive(self, event: Event) -> None:
        channel = Channel.from_key(event.channel)
        if isinstance(event, PresenceChanged):
            self.on_presence(channel)
            return
        if isinstance(event, Held):
            self.on_held(channel)
            return
        if isinstance(event, Deleted):
            self._deleted_elsewhere(channel)
            return
        feed = self._feeds.get(channel)
        if feed is None:
            return
        if event.traced and TRACES.recorder is not None:
            TRACES.recorder.told(event.traced)
        if not isinstance(event, Stored):
            feed.transient(message_of(event))
        elif entries := entries_of(event):
            feed.stored(entries)
        else:
            feed.committed(event.first, event.last, event.created)

    def _deleted_elsewhere(self, channel: Channel) -> None:
        self._history.forget(channel)
        if channel not in self._feeds:
            return
        self._deleted.add(channel)
        if self._deleted_looker is None:
            self._deleted_looker = asyncio.create_task(
                self._look_at_deleted(), name="look at deletions"
            )

    async def _look_at_deleted(self) -> None:
        try:
            while self._deleted:
                channels, self._deleted = self._deleted, set()
                with suppress(Unavailable):  # the poll finds it
                    await self._compare(channels)
                await asyncio.sleep(_DELETED_SECONDS)
        except Exception:
            logger.exception("deletions of other processes could not be looked at")
        finally:
            self._deleted_looker = None

    async def _poll_forever(self) -> None:
        while True:
            # Not wait_for: Python 3.11's drops a cancellation that comes with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._poll_now.wait()
            self._poll_now.clear()
            with suppress(Unavailable):  # the next round asks again
                await self._compare(self._feeds)

    async def _compare(self, channels: Collection[Channel]) -> None:
        """Compare the feeds of some channels with the table's heads."""
        # Before the heads are read: what is dispatched meanwhile may be newer than they are.
        places = {
            channel: (feed, place)
            for channel in channels
            if (feed := self._feeds.get(channel)) is not None and (place := feed.place) is not None
        }
        if not places:
            return
        for channel, head in (await self._history.heads(list(places))).items():
            feed, place = places[channel]
            if self._feeds.get(channel) is feed:
                feed.compare(place, head)


def _consecutive(entries: list[StoredEntry]) -> Iterator[list[StoredEntry]]:
    """Give the entries in runs without a gap: what a retry finds stored may lack its neighbours."""
    first, last = entries[0].sequence or 0, entries[-1].sequence or 0
    if last - first == len(entries) - 1:
        yield entries  # the common case
        return
    run: list[StoredEntry] = []
    for entry in entries:
        if run and entry.sequence != (run[-1].sequence or 0) + 1:
            yield run
            run = []
        run.append(entry)
    yield run
