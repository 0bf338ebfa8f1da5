"""Live messages: what is stored after a starting point, then what is published.

The source joins the channel first and replays afterwards. While it replays, what is published
is only noted (its sequence), not kept: the table has it. Once the replay has reached the
present, the member's group goes on.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from app.delivery.feed import History
from app.delivery.groups import FanOut
from app.delivery.hub import Hub
from app.delivery.members import Member
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import EVERY_MESSAGE, CompiledFilters
from app.errors import DeliveryFailed, SubscriberTooSlow, Unavailable
from app.services.live.pace import Pace
from app.services.live.source import Respond, Source

__all__ = ["MessageSource"]

_PAGE: Final = 500
_RECENT_MAX: Final = 256
_RECENT_BYTES_MAX: Final = 64 * 1024
"""Live messages kept during a replay, so that it need not chase the last few."""
_TRANSIENT_BYTES_MAX: Final = 1024 * 1024
"""Messages that are not stored wait for the replay's end; more, and the reader is too slow."""
_OVERHEAD_BYTES: Final = 200
"""Of a message besides its data."""
_PATIENCE_SECONDS: Final = 30.0
"""How long a replay waits for a database that is away."""


class MessageSource(Source):
    """A channel's messages from a starting point on.

    Every stored message after it that passes the filters comes once, in order; a transient
    one comes if it was published while the source was open.
    """

    def __init__(
        self,
        hub: Hub,
        fan_out: FanOut,
        history: History,
        channel: Channel,
        filters: CompiledFilters = EVERY_MESSAGE,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; nothing is missed from `start` on.

        Args:
            hub: where to join.
            fan_out: the groups that go on after the replay.
            history: where to replay from.
            channel: what to listen to.
            filters: all must hold for a message to come.
            on_closed: called once at the end, however it ends.
        """
        self._hub = hub
        self._fan_out = fan_out
        self._history = history
        self._channel = channel
        self._filters = filters
        self._on_closed: Callable[[], None] | None = on_closed
        self._joined = False
        self._joined_at = 0
        self._replayed = 0
        """All stored messages up to here were given."""
        self._seen = 0
        """How far this process's feed has come."""
        self._recent = _Recent()
        self._transient: deque[Message] = deque()
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
        group = self._fan_out.hold(self._channel, key, self._filters, respond)
        try:
            pace = Pace(member.drained)
            while (batch := await self._next()) is not None:
                # Empty where what was asked for has been deleted.
                for payloads, size in await group.encoded(batch) if batch else ():
                    member.receive(payloads)
                    await pace.wrote(size)
            leave_group = group.add(member)
        finally:
            group.release()
        self._leave()

        on_closed, self._on_closed = self._on_closed, None  # not `self`: it is not needed now

        def leave() -> None:
            nonlocal on_closed
            leave_group()
            if on_closed is not None:
                on_closed()
                on_closed = None

        return leave

    def close(self) -> None:
        self._leave()
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()

    def deliver(self, messages: Sequence[Message]) -> None:
        """Take messages from the feed."""
        for message in messages:
            if message.sequence is None:
                self._keep_transient(message)
            else:
                self._seen = message.sequence
                self._recent.add(message)
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
        self._recent = _Recent()
        if self._wake is not None:
            self._wake.set()

    def removed(self) -> None:
        """Replay from the table: what is kept here may be gone. Subscribers are told nothing."""
        self._recent = _Recent()

    async def _next(self) -> Sequence[Message] | None:
        """Return the next messages in order; None where the replay has reached the present."""
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

    async def _stored_after(self) -> Sequence[Message]:
        batch: Sequence[Message] = self._recent.after(self._replayed)
        if not batch:
            # `_seen` may grow while reading: what was asked for is what was read.
            up_to, restarts = self._seen, self._restarts
            batch = await self._read(self._replayed, up_to)
            if restarts != self._restarts:
                return ()  # it may be of a count that is gone
            if len(batch) < _PAGE:
                self._replayed = up_to
                return batch
        last = batch[-1].sequence
        assert last is not None
        self._replayed = last
        return batch

    async def _read(self, after: int, up_to: int) -> Sequence[Message]:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_delay(_PATIENCE_SECONDS),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        ):
            with attempt:
                return await self._history.between(self._channel, after, up_to, _PAGE)
        raise AssertionError("retried without an end")

    def _keep_transient(self, message: Message) -> None:
        self._transient.append(message)
        self._transient_bytes += len(message.data_json) + _OVERHEAD_BYTES
        if self._transient_bytes > _TRANSIENT_BYTES_MAX and self._failure is None:
            self._failure = SubscriberTooSlow(
                f"{self._transient_bytes} bytes are waiting, at most {_TRANSIENT_BYTES_MAX} may"
            )

    def _leave(self) -> None:
        if self._joined:
            self._joined = False
            self._hub.leave(self._channel, self)


class _Recent:
    """The last stored messages that the feed has brought, without a gap, within a bound."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._bytes = 0

    def add(self, message: Message) -> None:
        self._messages.append(message)
        self._bytes += len(message.data_json)
        while len(self._messages) > _RECENT_MAX or self._bytes > _RECENT_BYTES_MAX:
            self._bytes -= len(self._messages.popleft().data_json)

    def after(self, sequence: int) -> Sequence[Message]:
        """Return all after a sequence; empty where one of them is not kept any more."""
        if not self._messages or self._messages[0].sequence is None:
            return ()
        if self._messages[0].sequence > sequence + 1:
            return ()
        return tuple(self._after(sequence))

    def _after(self, sequence: int) -> Iterator[Message]:
        return (one for one in self._messages if one.sequence and one.sequence > sequence)
