"""The feed: one channel's stored messages in order, without a hole, to all who listen.

A feed knows the sequence it has dispatched last. A message that comes out of turn waits a
moment for those before it; what does not come is read from the table. So lost, late,
repeated and reordered events all end in the same order.

A channel whose rows are deleted together with its counter, and a database that lost its newest
messages, begin to count anew. The feed notices it by a head below its position, or by a message
that is newer than it should be at its place, and goes on with what it has not dispatched.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeAlias, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from app.delivery.ahead import Ahead
from app.delivery.budget import Budget
from app.delivery.recount import known_up_to
from app.domain.channel import Channel
from app.domain.entry import Entry, PolicyChange, StoredEntry
from app.domain.message import Head, Message
from app.errors import Unavailable
from app.telemetry.log_fields import event

__all__ = ["Feed", "History", "Subscriber"]

logger = logging.getLogger(__name__)

_Found = TypeVar("_Found")

_PAGE: Final = 500
_AHEAD_MAX: Final = 2_000
_AHEAD_BYTES_MAX: Final = 1024 * 1024
"""Of a feed that is alone; a hub's feeds share what they keep."""
_DISTRUST_SECONDS: Final = 30.0
"""After a channel has begun to count anew: longer than a late event of the old count may take."""
_GRACE_SECONDS: Final = 0.025
"""How long a hole may close by itself: the event of another process is often on its way."""


class Subscriber(Protocol):
    """Whoever listens to a feed."""

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Take entries: stored ones in order without a gap, others as they come.

        Called on the loop; must not block, join or leave. One that raises is dropped.
        """

    def dropped(self) -> None:
        """Take note that nothing more is delivered, because `deliver` raised.

        Whoever is behind it must learn that messages are missing: its client resumes.
        """

    def restarted(self, position: int) -> None:
        """Take note that the channel counts anew: what follows comes after `position`."""

    def removed(self) -> None:
        """Take note that stored messages were deleted: what was made of them is out of date."""


class History(Protocol):
    """The table, as delivery needs it."""

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        """Return where each channel's order ends."""

    async def between(
        self, channel: Channel, after: int, up_to: int, limit: int
    ) -> list[StoredEntry]:
        """Return what is stored with `after` < sequence <= `up_to`, in order."""

    def forget(self, channel: Channel) -> None:
        """Keep nothing that was read of a channel: messages were deleted, or it counts anew."""


Place: TypeAlias = tuple[int, int]
"""How often a feed has begun anew, and the sequence it dispatched last."""


class Feed:
    """One channel in this process."""

    def __init__(self, channel: Channel, history: History, ahead: Budget | None = None) -> None:
        """Take the parts; nothing is dispatched before `open_at`.

        Args:
            channel: whose messages.
            history: where holes are filled from.
            ahead: room for messages that wait for their turn, shared with other feeds; None:
                2,000, or 1 MiB of them. What finds no room is read from the table later.
        """
        self.channel = channel
        self.position: int | None = None
        """The sequence dispatched last; None until the feed is open."""
        self.last_created = 0
        """The newest `created` seen: a transient message is not older."""
        self.subscribers: dict[Subscriber, None] = {}
        self._history = history
        self._ahead = Ahead(ahead or Budget(_AHEAD_MAX, _AHEAD_BYTES_MAX))
        self._target = 0
        self._repair: asyncio.Task[None] | None = None
        self._created = 0
        """The newest `created` of what is up to the position."""
        self._deleted = 0
        """How many of its messages were deleted, as far as this feed knows."""
        self._beginnings = 0
        self._begins_anew = False
        """The table is to be asked where to go on: the position is not the new count's."""
        self._distrusts_until = 0.0

    @property
    def place(self) -> Place | None:
        """Where the feed is, to `compare` a head with that is read afterwards; None: not open."""
        return None if self.position is None else (self._beginnings, self.position)

    def open_at(self, head: Head) -> None:
        """Begin after `head`: everything later will be dispatched."""
        self.position = head.sequence
        self._created = head.created
        self._deleted = head.removed - head.retracted
        self.last_created = max(self.last_created, head.created)
        self._advance()

    def compare(self, place: Place, head: Head) -> None:
        """Take a head that was read after the feed was at `place`."""
        if (deleted := head.removed - head.retracted) != self._deleted:
            self._deleted = deleted
            self.deleted()
        if place[0] == self._beginnings and head.sequence < place[1]:
            self._begin_anew(head.sequence)
        else:
            self.reach(head.sequence)

    def notice(self, head: Head) -> None:
        """Take a head that was just read, by whoever: it tells of deletions."""
        if (deleted := head.removed - head.retracted) > self._deleted:
            self._deleted = deleted
            self.deleted()

    def deleted(self) -> None:
        """Take note that stored messages were deleted: nothing that was made of them holds."""
        self._history.forget(self.channel)
        self._tell(lambda subscriber: subscriber.removed())

    def close(self) -> None:
        """Stop what runs and forget what waits. Idempotent."""
        self._ahead.clear()
        if self._repair is not None:
            self._repair.cancel()

    def stored(self, entries: Sequence[StoredEntry]) -> None:
        """Take committed messages and retractions, whoever made them, in any order."""
        first, last = entries[0], entries[-1].sequence
        assert first.sequence is not None
        assert last is not None
        if self._distrusts():
            self.reach(last)
            return
        if self.position is not None and first.sequence == self.position + 1:
            # The common case: the next ones, in one piece.
            self._dispatch(entries)
            if self._ahead:
                self._advance()
            return
        if self._is_anew(first.sequence, first.created):
            self._begin_anew(last)
            return
        for entry in entries:
            assert entry.sequence is not None
            if self.position is None or entry.sequence > self.position:
                self._ahead.add(entry)
        self.reach(last)

    def committed(self, first: int, last: int, created: int) -> None:
        """Take note of committed messages that are too large to come along.

        Args:
            first: the sequence of the first.
            last: the sequence of the last.
            created: the first one's; 0: not known.
        """
        if not self._distrusts() and self._is_anew(first, created):
            self._begin_anew(last)
        else:
            self.reach(last)

    def reach(self, sequence: int) -> None:
        """Take note that messages up to `sequence` are committed."""
        self._target = max(self._target, sequence)
        self._advance()

    def transient(self, message: Message) -> None:
        """Take a message that is not stored."""
        self.last_created = max(self.last_created, message.created)
        self._deliver((message,))

    def policy_changed(self, change: PolicyChange) -> None:
        """Take note that the channel's policy is another."""
        self._deliver((change,))

    def _advance(self) -> None:
        if self.position is None:
            return
        if ready := self._ahead.take_after(self.position):
            self._dispatch(ready)
        if (self._begins_anew or self._target > self.position) and self._repair is None:
            self._repair = asyncio.create_task(self._fill(), name=f"hole in {self.channel.key}")

    def _dispatch(self, entries: Sequence[StoredEntry]) -> None:
        self.position = entries[-1].sequence
        self._created = max(self._created, entries[-1].created)
        self.last_created = max(self.last_created, self._created)
        self._deliver(entries)

    def _deliver(self, entries: Sequence[Entry]) -> None:
        self._tell(lambda subscriber: subscriber.deliver(entries))

    def _tell(self, tell: Callable[[Subscriber], None]) -> None:
        for subscriber in tuple(self.subscribers):
            try:
                tell(subscriber)
            except Exception:
                # One that breaks costs neither the others a message nor the publisher its ack.
                logger.exception("a subscriber of %s failed and is dropped", self.channel.key)
                self._drop(subscriber)

    def _drop(self, subscriber: Subscriber) -> None:
        self.subscribers.pop(subscriber, None)
        try:
            subscriber.dropped()
        except Exception:
            logger.exception("a subscriber of %s could not be dropped", self.channel.key)

    async def _fill(self) -> None:
        try:
            await asyncio.sleep(_GRACE_SECONDS)
            while self.position is not None and (self._begins_anew or self.position < self._target):
                if self._begins_anew:
                    await self._find_beginning()
                else:
                    await self._fill_page(self.position, self._target)
        except Exception:
            # The poll of the heads asks for it again in a while.
            logger.exception("a hole in %s could not be filled", self.channel.key)
            self._repair = None
        else:
            self._repair = None
            self._advance()

    async def _fill_page(self, asked_from: int, target: int) -> None:
        page = await self._read(asked_from, target, _PAGE)
        if self._begins_anew:
            return  # it may be of the count that is gone
        assert self.position is not None
        # Meanwhile events may have filled a part of it.
        fresh = [one for one in page if one.sequence and one.sequence > self.position]
        if fresh:
            self._dispatch(fresh)
        if len(page) < _PAGE and self.position < target:
            await self._skip_deleted(self.position, target)

    async def _skip_deleted(self, position: int, target: int) -> None:
        """Go on to `target`: all there is up to it was read, what is missing was deleted."""
        place = (self._beginnings, position)
        heads = await self._retried(lambda: self._history.heads([self.channel]))
        head = heads[self.channel]
        self.compare(place, head)
        if self._begins_anew:
            return
        assert self.position is not None
        reached = min(target, head.sequence)
        self.position = max(self.position, reached)
        if self.position >= head.sequence:
            self._created = max(self._created, head.created)
        if reached < self._target == target:
            self._target = reached  # named by a late event of a count that is gone

    # Counting anew.

    def _is_anew(self, first: int, created: int) -> bool:
        """Return whether a message contradicts what was dispatched.

        `created` never runs backwards within a count: what is newer than the message at the
        position cannot come before it.
        """
        return self.position is not None and first <= self.position and created > self._created

    def _distrusts(self) -> bool:
        """Return whether events may be of a count that is gone: then the table alone is asked."""
        if not self._distrusts_until:
            return False
        if asyncio.get_running_loop().time() < self._distrusts_until:
            return True
        self._distrusts_until = 0.0
        return False

    def _begin_anew(self, up_to: int) -> None:
        logger.warning(
            "channel %s counts its messages anew: %d are there, %d were dispatched. Its rows were "
            "deleted together with its counter, or the database has lost its newest messages",
            self.channel.key,
            up_to,
            self.position,
            extra=event("channel.counted_anew", channel=self.channel.key),
        )
        self._history.forget(self.channel)
        self._beginnings += 1
        self._begins_anew = True
        self._distrusts_until = asyncio.get_running_loop().time() + _DISTRUST_SECONDS
        self._ahead.clear()
        self._target = up_to
        self._advance()

    async def _find_beginning(self) -> None:
        """Ask the table what is newer than all that was dispatched, and go on from there."""
        beginning = self._beginnings
        known = await known_up_to(self._read, self._created, self._target)
        if beginning != self._beginnings:
            return
        assert self.position is not None
        self._begins_anew = False
        # Not further: what follows may have been stored in the same millisecond.
        self.position = position = min(known, self.position)
        self._tell(lambda subscriber: subscriber.restarted(position))

    async def _read(self, after: int, up_to: int, limit: int) -> list[StoredEntry]:
        return await self._retried(lambda: self._history.between(self.channel, after, up_to, limit))

    async def _retried(self, read: Callable[[], Awaitable[_Found]]) -> _Found:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
        ):
            with attempt:
                return await read()
        raise AssertionError("retried without an end")
