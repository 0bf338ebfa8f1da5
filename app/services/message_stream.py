"""One subscription: what is stored after its starting point, then what is published.

The stream joins the channel first and replays afterwards. While it replays, what is
published is only noted (its sequence), not kept: the table has it. Once the replay has
reached the present, messages are queued as they come, up to a bound.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from app.delivery.fanout import Encode, FanOut, Member
from app.delivery.feed import History
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import Filter, compile_filter
from app.errors import DeliveryFailed, SubscriberTooSlow, Unavailable

__all__ = ["MessageStream"]

_PAGE: Final = 500
_RECENT_MAX: Final = 256
"""Live messages kept during a replay, so that it need not chase the last few."""
_PENDING_MAX: Final = 10_000
_PENDING_BYTES_MAX: Final = 4 * 1024 * 1024
_PATIENCE_SECONDS: Final = 30.0
"""How long a replay waits for a database that is away."""


class MessageStream(AsyncIterator[Message]):
    """An async iterator of messages: ends by `aclose`, `SubscriberTooSlow` or `Unavailable`.

    Every stored message after the starting point that passes the filters comes once, in
    order; a transient one comes if it was published while the stream was open.
    """

    def __init__(
        self,
        hub: Hub,
        fan_out: FanOut,
        history: History,
        channel: Channel,
        filters: Sequence[Filter] = (),
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; nothing is delivered before `start`.

        Args:
            hub: where to join.
            fan_out: who may take over.
            history: where to replay from.
            channel: what to listen to.
            filters: all must hold for a message to come.
            on_closed: called once at the end, however it ends.
        """
        self._hub = hub
        self._history = history
        self._channel = channel
        self._fan_out = fan_out
        self._filters = filters
        self._tests = [compile_filter(one) for one in filters]
        self._on_closed = on_closed
        self._pending: deque[Message] = deque()
        self._pending_bytes = 0
        self._recent: deque[Message] = deque(maxlen=_RECENT_MAX)
        self._replayed = 0
        """All stored messages up to here were yielded or queued."""
        self._joined_at = 0
        self._seen = 0
        """The newest sequence known to be committed."""
        self._replaying = True
        self._wake = asyncio.Event()
        self._failure: Exception | None = None
        self._closed = False

    async def start(self) -> int:
        """Join the channel; return the sequence after which all is delivered by itself."""
        self._seen = self._joined_at = await self._hub.join(self._channel, self)
        if self._closed:  # while joining
            self._hub.leave(self._channel, self)
        return self._joined_at

    def replay_after(self, sequence: int | None) -> None:
        """Set the starting point; None: the present. Call it right after `start`.

        Args:
            sequence: of a committed message; this process may not have come so far yet.
        """
        self._replayed = self._joined_at if sequence is None else sequence
        if self._replayed > self._seen:
            self._hub.reach(self._channel, self._replayed)
        self._catch_up()

    @property
    def position(self) -> int:
        """The head of the channel when the stream joined it."""
        return self._joined_at

    @property
    def settled(self) -> bool:
        """Whether the replay is over and nothing waits: what comes next is published next.

        Not while the feed of this process is behind the starting point: what it dispatches
        until then is not for this stream, and a group has no starting points.
        """
        return self._seen >= self._replayed and not (
            self._replaying or self._pending or self._failure or self._closed
        )

    def hand_over(self, key: Hashable, encode: Encode, member: Member) -> Callable[[], None]:
        """Let a fan-out group go on in place of this stream, without a gap or a repeat.

        Only a settled stream can; it yields nothing more and need not be closed.

        Args:
            key: equal for those whose channel's messages are filtered and encoded alike.
            encode: makes what the group's members are given.
            member: is given it.

        Returns:
            What ends the subscription. Idempotent.
        """
        assert self.settled
        leave_group = self._fan_out.join(self._channel, key, self._filters, encode, member)
        self._closed = True
        self._hub.leave(self._channel, self)

        def leave() -> None:
            leave_group()
            self._on_closed()

        return leave

    def deliver(self, messages: Sequence[Message]) -> None:
        """Take messages from the feed."""
        if self._closed:
            return
        for message in messages:
            if message.sequence is None:
                self._queue(message)
                continue
            self._seen = message.sequence
            if self._replaying:
                self._recent.append(message)
            elif message.sequence > self._replayed:
                self._replayed = message.sequence
                self._queue(message)
        self._wake.set()

    def dropped(self) -> None:
        """End with an error: a message could not be taken."""
        self._let_go(DeliveryFailed())

    def __aiter__(self) -> "MessageStream":
        return self

    async def __anext__(self) -> Message:
        """Return the next message.

        Raises:
            StopAsyncIteration: closed.
            SubscriberTooSlow: more than 10,000 messages or 4 MiB were waiting.
            Unavailable: the database stayed away during a replay.
        """
        while True:
            if self._pending:
                message = self._pending.popleft()
                self._pending_bytes -= len(message.data_json)
                return message
            if self._failure is not None:
                failure, self._failure = self._failure, None
                await self.aclose()
                raise failure
            if self._closed:
                raise StopAsyncIteration
            if self._replaying:
                await self._replay_page()
            else:
                self._wake.clear()
                await self._wake.wait()

    async def aclose(self) -> None:
        """Leave the channel. Idempotent."""
        if not self._closed:
            self._closed = True
            self._pending.clear()
            self._hub.leave(self._channel, self)
            self._wake.set()
            self._on_closed()

    def _queue(self, message: Message) -> None:
        if self._failure is not None:
            return  # What follows what was let go would leave a hole.
        if not all(test(message) for test in self._tests):
            return
        self._pending.append(message)
        self._pending_bytes += len(message.data_json)
        if len(self._pending) > _PENDING_MAX:
            self._too_slow("messages", len(self._pending), _PENDING_MAX)
        elif self._pending_bytes > _PENDING_BYTES_MAX:
            self._too_slow("bytes", self._pending_bytes, _PENDING_BYTES_MAX)

    def _too_slow(self, what: str, came: int, allowed: int) -> None:
        self._let_go(SubscriberTooSlow(f"{came} {what} are waiting, at most {allowed} may"))

    def _let_go(self, failure: SubscriberTooSlow) -> None:
        # Nothing more is taken: what waits is let go, the client resumes from its cursor.
        self._hub.leave(self._channel, self)
        self._failure = failure
        self._pending.clear()
        self._pending_bytes = 0
        self._wake.set()

    async def _replay_page(self) -> None:
        # `_seen` may grow while reading: what was asked for is what was read.
        up_to = self._seen
        try:
            page = await self._read(self._replayed, up_to)
        except Unavailable as error:
            self._failure = error
            return
        last = page[-1].sequence if len(page) == _PAGE else up_to
        for message in page:
            self._queue(message)
            if self._pending_bytes > _PENDING_BYTES_MAX // 2:
                # Large ones: the rest is read once these are taken.
                last = message.sequence
                break
        assert last is not None
        self._replayed = last
        self._catch_up()

    async def _read(self, after: int, up_to: int) -> list[Message]:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_delay(_PATIENCE_SECONDS),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        ):
            with attempt:
                return await self._history.between(self._channel, after, up_to, _PAGE)
        raise AssertionError("retried without an end")

    def _catch_up(self) -> None:
        """Go live if nothing is left to read: no await between the check and the switch."""
        while self._recent and (self._recent[0].sequence or 0) <= self._replayed:
            self._recent.popleft()
        missing_from_recent = self._seen > self._replayed and not (
            self._recent and self._recent[0].sequence == self._replayed + 1
        )
        if missing_from_recent:
            return
        self._replaying = False
        for message in self._recent:
            assert message.sequence is not None
            self._replayed = message.sequence
            self._queue(message)
        self._recent.clear()
