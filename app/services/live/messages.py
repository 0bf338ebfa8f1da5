"""Live messages: what is stored after a starting point, then what is published.

The source joins the channel first and replays afterwards. While it replays, what is published
is only noted (its sequence), not kept: the table has it. Once the replay has reached the
present, the member's group goes on.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from app.delivery.groups import FanOut, Group
from app.delivery.hub import Hub
from app.delivery.members import Member
from app.domain.channel import Channel
from app.domain.entry import CaughtUp, Entry, Retraction, StoredEntry
from app.domain.message import Message
from app.domain.query import EVERY_MESSAGE, CompiledFilters
from app.errors import DeliveryFailed, SubscriberTooSlow
from app.services.live.pace import Pace
from app.services.live.patience import patiently
from app.services.live.source import Respond, Source

__all__ = ["EventOf", "Joined", "MessageSource"]

EventOf: TypeAlias = Callable[[Entry | CaughtUp], Any]
"""Makes what is responded to, of what the channel gives."""

_PAGE: Final = 500
_RECENT_MAX: Final = 256
_RECENT_BYTES_MAX: Final = 64 * 1024
"""Live messages kept during a replay, so that it need not chase the last few."""
_TRANSIENT_BYTES_MAX: Final = 1024 * 1024
"""Messages that are not stored wait for the replay's end; more, and the reader is too slow."""
_OVERHEAD_BYTES: Final = 200
"""Of a message besides its data."""


class Replay(Protocol):
    """The table, as a source needs it."""

    async def between(
        self, channel: Channel, after: int, up_to: int, limit: int
    ) -> list[StoredEntry]:
        """Return what is stored with `after` < sequence <= `up_to`, in order."""

    async def newest_id(self, channel: Channel, up_to: int) -> str | None:
        """Return the cursor of the last that is stored up to a sequence; None: nothing is."""


class MessageSource(Source):
    """A channel's messages from a starting point on.

    Every stored message after it that passes the filters comes once, in order; a transient
    one comes if it was published while the source was open.
    """

    def __init__(
        self,
        hub: Hub,
        fan_out: FanOut,
        history: Replay,
        channel: Channel,
        filters: CompiledFilters = EVERY_MESSAGE,
        on_closed: Callable[[], None] = lambda: None,
        *,
        events: bool = False,
        event_of: EventOf | None = None,
    ) -> None:
        """Prepare; nothing is missed from `start` on.

        Args:
            hub: where to join.
            fan_out: the groups that go on after the replay.
            history: where to replay from.
            channel: what to listen to.
            filters: all must hold for a message to come.
            on_closed: called once at the end, however it ends.
            events: whether retractions and changes of the policy come too.
            event_of: makes what is responded to; then it is told too when all that was stored
                has come. None: what comes is responded to as it is.
        """
        self._hub = hub
        self._fan_out = fan_out
        self._history = history
        self._channel = channel
        self._filters = filters
        self._on_closed: Callable[[], None] | None = on_closed
        self._events = events
        self._event_of = event_of
        self._last_id: str | None = None
        """The cursor of the last that was replayed; None: nothing was, or it may be gone."""
        self._joined = False
        self._joined_at = 0
        self._replayed = 0
        """All stored messages up to here were given."""
        self._seen = 0
        """How far this process's feed has come."""
        self._recent = _Recent()
        self._transient: deque[Entry] = deque()
        self._transient_bytes = 0
        self._restarts = 0
        self._failure: Exception | None = None
        self._wake: asyncio.Event | None = None

    async def start(self) -> int:
        """Join the channel; return the sequence after which all is delivered by itself.

        Raises:
            Unavailable: the channel's head cannot be read now.
        """
        self._seen = self._joined_at = self._replayed = await self._hub.join(self._channel, self)
        self._joined = True
        return self._joined_at

    @property
    def position(self) -> int:
        """The head of the channel when the source joined it."""
        return self._joined_at

    def replay_after(self, sequence: int) -> None:
        """Set the starting point, if it is not the present.

        Args:
            sequence: of a committed message; this process may not have come so far yet.
        """
        self._replayed = sequence
        if sequence > self._seen:
            self._hub.reach(self._channel, sequence)

    async def begin(self, key: Hashable, respond: Respond, member: Member) -> Callable[[], None]:
        if (event_of := self._event_of) is not None:
            respond = _responding(respond, event_of)
        group = self._fan_out.hold(self._channel, key, self._filters, respond, events=self._events)
        try:
            await self._replay(group, member)
            if event_of is not None:
                cursor = await self._caught_up_at()
                member.receive([group.encode(CaughtUp(cursor))])
                await self._replay(group, member)  # what came while the cursor was looked up
            leave_group = group.add(member)
        finally:
            group.release()
        self._leave()

        on_closed, self._on_closed = self._on_closed, None  # not `self`: it is not needed now
        return Joined(group, member, leave_group, on_closed)

    async def _replay(self, group: Group, member: Member) -> None:
        """Give the member all that came until now; between its end and a return is no await."""
        pace = Pace(member.drained)
        while (batch := await self._next()) is not None:
            # Empty where what was asked for has been deleted.
            for payloads, size in await group.encoded(batch) if batch else ():
                member.receive(payloads)
                await pace.wrote(size)

    async def _caught_up_at(self) -> str | None:
        if self._last_id is not None:
            return self._last_id
        return await patiently(partial(self._history.newest_id, self._channel, self._replayed))

    def close(self) -> None:
        self._leave()
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Take entries from the feed."""
        for entry in entries:
            if entry.sequence is None:
                if self._events or isinstance(entry, Message):
                    self._keep_transient(entry)
            else:
                self._seen = entry.sequence
                self._recent.add(entry)
        if self._wake is not None:
            self._wake.set()

    def dropped(self) -> None:
        """End with an error: messages are missing from here on."""
        self._failure = DeliveryFailed()
        if self._wake is not None:
            self._wake.set()

    def restarted(self, position: int) -> None:
        """Go on from a place in a new count; what was to be replayed after it is gone."""
        self._restarts += 1
        self._joined_at = min(self._joined_at, position)
        self._seen = position
        self._replayed = min(self._replayed, position)
        self._recent, self._last_id = _Recent(), None
        if self._wake is not None:
            self._wake.set()

    def removed(self) -> None:
        """Replay from the table: what is kept here may be gone. Subscribers are told nothing."""
        self._recent, self._last_id = _Recent(), None

    async def _next(self) -> Sequence[Entry] | None:
        """Return the next entries in order; None where the replay has reached the present."""
        while True:
            if self._failure is not None:
                raise self._failure
            if self._seen > self._replayed:
                return await self._stored_after()
            if self._transient:
                batch = tuple(self._transient)
                self._transient.clear()
                self._transient_bytes = 0
                return batch
            if self._seen == self._replayed:
                return None
            # The starting point is ahead of this process, and a group has no starting points.
            self._wake = asyncio.Event()
            await self._wake.wait()

    async def _stored_after(self) -> Sequence[StoredEntry]:
        batch: Sequence[StoredEntry] = self._recent.after(self._replayed)
        if not batch:
            # `_seen` may grow while reading: what was asked for is what was read.
            up_to, restarts = self._seen, self._restarts
            read = partial(self._history.between, self._channel, self._replayed, up_to, _PAGE)
            batch = await patiently(read)
            if restarts != self._restarts:
                return ()  # it may be of a count that is gone
            if len(batch) < _PAGE:
                self._replayed = up_to
                self._last_id = batch[-1].id if batch else self._last_id
                return batch
        last = batch[-1]
        assert last.sequence is not None
        self._replayed, self._last_id = last.sequence, last.id
        return batch

    def _keep_transient(self, entry: Entry) -> None:
        self._transient.append(entry)
        self._transient_bytes += entry.size + _OVERHEAD_BYTES
        if self._transient_bytes > _TRANSIENT_BYTES_MAX and self._failure is None:
            self._failure = SubscriberTooSlow(
                f"{self._transient_bytes} bytes are waiting, at most {_TRANSIENT_BYTES_MAX} may"
            )

    def _leave(self) -> None:
        if self._joined:
            self._joined = False
            self._hub.leave(self._channel, self)


class Joined:
    """A member of a channel's group, after its replay. Call it to let the member leave."""

    __slots__ = ("_group", "_leave_group", "_member", "_on_closed")

    def __init__(
        self,
        group: Group,
        member: Member,
        leave_group: Callable[[], None],
        on_closed: Callable[[], None] | None,
    ) -> None:
        self._group = group
        self._member = member
        self._leave_group = leave_group
        self._on_closed = on_closed

    def __call__(self) -> None:
        """Leave. Idempotent."""
        self._leave_group()
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()

    async def give(self, entry: Message | Retraction) -> None:
        """Give the member an entry that nobody else is given, if its group would be."""
        await self._group.give_alone(self._member, entry)


def _responding(respond: Respond, event_of: EventOf) -> Respond:
    return lambda entry: respond(event_of(entry))


class _Recent:
    """The last stored entries that the feed has brought, without a gap, within a bound."""

    def __init__(self) -> None:
        self._entries: deque[StoredEntry] = deque()
        self._bytes = 0

    def add(self, entry: StoredEntry) -> None:
        if isinstance(entry, Retraction):
            # What was retracted is given no more, and the table knows it.
            self._entries.clear()
            self._bytes = 0
            return
        self._entries.append(entry)
        self._bytes += entry.size
        while len(self._entries) > _RECENT_MAX or self._bytes > _RECENT_BYTES_MAX:
            self._bytes -= self._entries.popleft().size

    def after(self, sequence: int) -> Sequence[StoredEntry]:
        """Return all after a sequence; empty where one of them is not kept any more."""
        if not self._entries or self._entries[0].sequence is None:
            return ()
        if self._entries[0].sequence > sequence + 1:
            return ()
        return tuple(self._after(sequence))

    def _after(self, sequence: int) -> Iterator[StoredEntry]:
        return (one for one in self._entries if one.sequence and one.sequence > sequence)
