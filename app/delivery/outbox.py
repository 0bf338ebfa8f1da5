"""The outbox and the inbox of a backend whose broker is somewhere else.

What leaves is sent in batches, in order, again and again while the broker is away; so the
same text may come twice. Each carries its sender and a number that grows, and the inbox lets
none pass twice. Wire form: `sender/number/text`.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Final, TypeAlias

from broadcaster import Event
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from app.delivery.budget import Budget, text_size
from app.errors import Unavailable

__all__ = ["Inbox", "Outbox", "Send"]

logger = logging.getLogger(__name__)

Send: TypeAlias = Callable[[Sequence[tuple[str, str]]], Awaitable[None]]
"""Sends (topic, text) pairs in order and returns when the broker has all of them."""

_SEND_FOR_SECONDS: Final = 15.0
_WAITING_MAX: Final = 10_000
_WAITING_BYTES_MAX: Final = 16 * 1024 * 1024
_RECEIVED_MAX: Final = 10_000
_RECEIVED_BYTES_MAX: Final = 16 * 1024 * 1024
_PORTION_BYTES: Final = 256 * 1024
"""Handed over before their handling gets its turn: broadcaster's queue has no bound."""
_SENDERS_MAX: Final = 100_000
"""(Sender, topic) pairs remembered; the one quiet for longest is forgotten first."""


class Outbox:
    """Texts on their way out: those that wait while a batch is sent are the next batch."""

    def __init__(self, send: Send, failures: tuple[type[Exception], ...]) -> None:
        """Take the way out.

        Args:
            send: given the whole batch again after a failure.
            failures: what `send` raises when another try may succeed.
        """
        self._send = send
        self._failures = failures
        self._name = secrets.token_hex(8)
        self._numbers = count(1)
        self._budget = Budget(_WAITING_MAX, _WAITING_BYTES_MAX)
        self._waiting: list[tuple[str, str]] = []
        self._sent: asyncio.Future[None] | None = None
        self._sender: asyncio.Task[None] | None = None

    async def put(self, topic: str, text: str) -> None:
        """Send a text to a topic, in the order of the calls; returns when the broker has it.

        Raises:
            Unavailable: 10,000, or 16 MiB of them, wait already or are being sent.
            Exception: what `send` raised, after 15 s of tries where it might have passed.
        """
        wire = f"{self._name}/{next(self._numbers)}/{text}"
        if not self._budget.take(text_size(wire)):
            raise Unavailable(f"{self._budget} wait to be sent; retry later")
        self._waiting.append((topic, wire))
        if self._sent is None:
            self._sent = asyncio.get_running_loop().create_future()
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all(), name="event sender")
        # The batch is everybody's: a caller that is cancelled must not cancel it.
        await asyncio.shield(self._sent)

    async def close(self) -> None:
        """Give up what waits. Idempotent."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        if self._sent is not None:
            self._sent.cancel()
        self._give_back(self._waiting)
        self._waiting.clear()

    async def _send_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            sent, self._sent = self._sent, None
            assert sent is not None
            try:
                async for attempt in AsyncRetrying(
                    retry=retry_if_exception_type(self._failures),
                    stop=stop_after_delay(_SEND_FOR_SECONDS),
                    wait=wait_random_exponential(multiplier=0.05, max=1.0),
                    reraise=True,
                ):
                    with attempt:
                        await self._send(batch)
            except asyncio.CancelledError:
                sent.cancel()
                raise
            except Exception as error:
                sent.set_exception(error)
                sent.exception()  # those who wait for it may be gone
            else:
                sent.set_result(None)
            finally:
                self._give_back(batch)

    def _give_back(self, batch: Sequence[tuple[str, str]]) -> None:
        for _, wire in batch:
            self._budget.give_back(text_size(wire))


class Inbox:
    """Events that have come and wait to be handled: 10,000, or 16 MiB of them, at the most.

    One more is dropped. Stored messages are then read from the table; one that is not stored
    is lost to this process.
    """

    def __init__(self, on_missed: Callable[[], None]) -> None:
        """Take whom to tell when an event had to be dropped."""
        self._on_missed = on_missed
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._budget = Budget(_RECEIVED_MAX, _RECEIVED_BYTES_MAX)
        self._portion = 0
        self._last: dict[tuple[str, str], int] = {}
        self._overflowing = False

    def put(self, topic: str, wire: str) -> None:
        """Take what came; a repeat, or what no outbox wrote, goes no further."""
        sender, _, rest = wire.partition("/")
        number, separator, text = rest.partition("/")
        if not separator or not (number.isascii() and number.isdigit() and len(number) < 20):
            logger.warning("a text of %d characters on %s is not ours; ignored", len(wire), topic)
            return
        key = sender, topic
        last = self._last.pop(key, 0)
        self._last[key] = max(last, int(number))
        if int(number) <= last:
            return
        if len(self._last) > _SENDERS_MAX:
            del self._last[next(iter(self._last))]
        if self._budget.take(text_size(text)):
            self._events.put_nowait(Event(topic, text))
            self._overflowing = False
            return
        if not self._overflowing:
            logger.warning("%s wait to be handled; events are dropped", self._budget)
        self._overflowing = True
        self._on_missed()

    async def get(self) -> Event:
        """Return the next event; now and then let those already returned be handled first."""
        if self._events.empty():
            self._portion = 0
        elif self._portion > _PORTION_BYTES:
            self._portion = 0
            await asyncio.sleep(0)
        event = await self._events.get()
        size = text_size(event.message)
        self._portion += size
        self._budget.give_back(size)
        return event
