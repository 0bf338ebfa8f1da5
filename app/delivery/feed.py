"""The feed: one channel's stored messages in order, without a hole, to all who listen.

A feed knows the sequence it has dispatched last. A message that comes out of turn waits a
moment for those before it; what does not come is read from the table. So lost, late,
repeated and reordered events all end in the same order.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from tenacity import AsyncRetrying, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from app.domain.channel import Channel
from app.domain.message import Message
from app.errors import Unavailable

__all__ = ["Feed", "History", "Subscriber"]

logger = logging.getLogger(__name__)

_PAGE: Final = 500
_AHEAD_MAX: Final = 2_000
"""Messages waiting for their turn; beyond it they are read from the table later."""
_GRACE_SECONDS: Final = 0.025
"""How long a hole may close by itself: the event of another process is often on its way."""


class Subscriber(Protocol):
    """Whoever listens to a feed."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Take messages: stored ones in order without a gap, transient ones as they come.

        Called on the loop; must not block, join or leave. One that raises is dropped.
        """

    def dropped(self) -> None:
        """Take note that nothing more is delivered, because `deliver` raised.

        Whoever is behind it must learn that messages are missing: its client resumes.
        """


class History(Protocol):
    """The table, as delivery needs it."""

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, int]:
        """Return the newest sequence of each channel, 0 for none."""

    async def between(self, channel: Channel, after: int, up_to: int, limit: int) -> list[Message]:
        """Return messages with `after` < sequence <= `up_to`, in order."""


class Feed:
    """One channel in this process."""

    def __init__(self, channel: Channel, history: History) -> None:
        self.channel = channel
        self.position: int | None = None
        """The sequence dispatched last; None until the feed is open."""
        self.last_created = 0
        """The newest `created` seen: a transient message is not older."""
        self.subscribers: dict[Subscriber, None] = {}
        self._history = history
        self._ahead: dict[int, Message] = {}
        self._target = 0
        self._repair: asyncio.Task[None] | None = None

    def open_at(self, head: int) -> None:
        """Begin after `head`: everything later will be dispatched."""
        self.position = head
        self._advance()

    def close(self) -> None:
        """Stop what runs. Idempotent."""
        if self._repair is not None:
            self._repair.cancel()

    def stored(self, messages: Sequence[Message]) -> None:
        """Take committed messages, whoever published them, in any order."""
        if self.position is not None and messages[0].sequence == self.position + 1:
            # The common case: the next ones, in one piece.
            self._dispatch(messages)
            if self._ahead:
                self._advance()
            return
        for message in messages:
            assert message.sequence is not None
            if len(self._ahead) < _AHEAD_MAX:
                self._ahead[message.sequence] = message
            self._target = max(self._target, message.sequence)
        self._advance()

    def reach(self, sequence: int) -> None:
        """Take note that messages up to `sequence` are committed."""
        self._target = max(self._target, sequence)
        self._advance()

    def transient(self, message: Message) -> None:
        """Take a message that is not stored."""
        self.last_created = max(self.last_created, message.created)
        self._deliver((message,))

    def _advance(self) -> None:
        if self.position is None:
            return
        ready: list[Message] = []
        following = self.position + 1
        while following in self._ahead:
            ready.append(self._ahead.pop(following))
            following += 1
        if ready:
            self._dispatch(ready)
        if self._ahead and min(self._ahead) <= self.position:
            self._ahead = {n: m for n, m in self._ahead.items() if n > self.position}
        if self._target > self.position and self._repair is None:
            self._repair = asyncio.create_task(self._fill(), name=f"hole in {self.channel.key}")

    def _dispatch(self, messages: Sequence[Message]) -> None:
        self.position = messages[-1].sequence
        self.last_created = max(self.last_created, messages[-1].created)
        self._deliver(messages)

    def _deliver(self, messages: Sequence[Message]) -> None:
        for subscriber in tuple(self.subscribers):
            try:
                subscriber.deliver(messages)
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
            while self.position is not None and self.position < self._target:
                asked_from, target = self.position, self._target
                page = await self._read(asked_from, target)
                # Meanwhile events may have filled a part of it.
                fresh = [one for one in page if one.sequence and one.sequence > self.position]
                if fresh:
                    self._dispatch(fresh)
                if len(page) < _PAGE and self.position < target:
                    # All there is was read: what is missing was deleted.
                    self.position = target
        except Exception:
            # The poll of the heads asks for it again in a while.
            logger.exception("a hole in %s could not be filled", self.channel.key)
            self._repair = None
        else:
            self._repair = None
            self._advance()

    async def _read(self, after: int, up_to: int) -> list[Message]:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
        ):
            with attempt:
                return await self._history.between(self.channel, after, up_to, _PAGE)
        raise AssertionError("retried without an end")
