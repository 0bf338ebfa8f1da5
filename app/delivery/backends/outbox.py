"""The outbox and the inbox of a backend: the one queue out and the one queue in.

What leaves is sent in batches, in order, again and again while the broker is away; so the
same text may come twice. Each carries its sender and a number that grows, and the inbox lets
none pass twice. Wire form: `sender/number/text`.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Final, NoReturn, TypeAlias

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from app.delivery.budget import Budget, text_size
from app.telemetry.log_fields import event
from app.telemetry.tracebacks import error_text

__all__ = ["Inbox", "Outbox", "Receive", "Send"]

logger = logging.getLogger(__name__)

Send: TypeAlias = Callable[[Sequence[tuple[str, str]]], Awaitable[None]]
"""Sends (topic, text) pairs in order and returns when the broker has all of them."""
Receive: TypeAlias = Callable[[str, str], None]
"""Takes the topic and the text of what came."""

_SEND_FOR_SECONDS: Final = 15.0
_CLOSE_SECONDS: Final = 1.0
_WAITING_MAX: Final = 10_000
_WAITING_BYTES_MAX: Final = 8 * 1024 * 1024
_BATCH_MAX: Final = 200
_BATCH_BYTES_MAX: Final = 1024 * 1024
"""Reached, and a batch is not added to."""
_RECEIVED_MAX: Final = 10_000
_RECEIVED_BYTES_MAX: Final = 16 * 1024 * 1024
_PORTION_MAX: Final = 200
_PORTION_BYTES_MAX: Final = 256 * 1024
"""Reached, and others on the loop get their turn before the next event is handed over."""
_SENDERS_MAX: Final = 100_000
"""(Sender, topic) pairs remembered; the one quiet for longest is forgotten first."""


class Outbox:
    """Texts on their way out: those that wait while a batch is sent are the next batch.

    10,000, or 8 MiB of them, may wait or be on their way.
    """

    def __init__(self, send: Send, failures: tuple[type[Exception], ...]) -> None:
        """Take the way out.

        Args:
            send: given the whole batch again after a failure, for 15 s.
            failures: what `send` raises when another try may succeed.
        """
        self._send = send
        self._failures = failures
        self._name = secrets.token_hex(8)
        self._numbers = count(1)
        self.waiting = Budget(_WAITING_MAX, _WAITING_BYTES_MAX)
        """What waits or is on its way."""
        self.posted = 0
        self.dropped = 0
        """Texts since the beginning: those that found room, and those that did not."""
        self._overflowing = False
        self._closed = False
        self._waiting: deque[tuple[str, str]] = deque()
        self._sender: asyncio.Task[None] | None = None

    def post(self, topic: str, text: str) -> bool:
        """Send a text to a topic soon, in the order of the calls; return False where it is dropped.

        It is dropped where there is no room, and once the outbox is closed.
        """
        if self._closed:
            return False
        wire = f"{self._name}/{next(self._numbers)}/{text}"
        if not self.waiting.take(text_size(wire)):
            if not self._overflowing:
                logger.warning(
                    "%s wait to be sent; events are dropped",
                    self.waiting,
                    extra=event("bus.overflowed", direction="out"),
                )
            self._overflowing = True
            self.dropped += 1
            return False
        self._overflowing = False
        self.posted += 1
        self._waiting.append((topic, wire))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all(), name="event sender")
        return True

    async def flush(self) -> None:
        """Return when nothing waits any more: all is sent, or given up."""
        if self._sender is not None:
            await asyncio.wait({self._sender})

    async def close(self) -> None:
        """Send what waits, for at most a second, and give up the rest. Idempotent."""
        self._closed = True
        if self._sender is not None:
            await asyncio.wait({self._sender}, timeout=_CLOSE_SECONDS)
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        self._give_back(self._waiting)
        self._waiting.clear()

    async def _send_all(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            try:
                await self._send_again_and_again(batch)
            except Exception as error:
                # Stored messages are found by the readers' poll; one loss must not be many.
                why = error_text(error)
                logger.warning(
                    "%d events could not be sent: %s",
                    len(batch),
                    why,
                    extra=event("bus.not_sent", events=len(batch)),
                )
            finally:
                self._give_back(batch)

    def _next_batch(self) -> list[tuple[str, str]]:
        batch: list[tuple[str, str]] = []
        size = 0
        while self._waiting and len(batch) < _BATCH_MAX and size < _BATCH_BYTES_MAX:
            batch.append(self._waiting.popleft())
            size += text_size(batch[-1][1])
        return batch

    async def _send_again_and_again(self, batch: Sequence[tuple[str, str]]) -> None:
        try:
            # Nearly always the only one, and without what it costs to try again.
            await self._send(batch)
        except self._failures as error:
            logger.debug("sending events failed, trying again: %s", error_text(error))
        else:
            return
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(self._failures),
            stop=stop_after_delay(_SEND_FOR_SECONDS),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        ):
            with attempt:
                await self._send(batch)

    def _give_back(self, texts: Sequence[tuple[str, str]]) -> None:
        for _, wire in texts:
            self.waiting.give_back(text_size(wire))


class Inbox:
    """Texts that have come and wait to be handed over: 10,000, or 16 MiB of them, at the most.

    One more is dropped. Stored messages are then read from the table; one that is not stored
    is lost to this process.
    """

    def __init__(self, receive: Receive, on_missed: Callable[[], None]) -> None:
        """Take whom to hand them to, and whom to tell when one had to be dropped."""
        self._receive = receive
        self._on_missed = on_missed
        self._texts: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.waiting = Budget(_RECEIVED_MAX, _RECEIVED_BYTES_MAX)
        """What waits to be handed over."""
        self.taken = 0
        self.dropped = 0
        """Texts since the beginning: those that found room, and those that did not."""
        self._last: dict[tuple[str, str], int] = {}
        self._overflowing = False

    def put(self, topic: str, wire: str) -> None:
        """Take what a broker sent; a repeat, or what no outbox wrote, goes no further."""
        sender, _, rest = wire.partition("/")
        number, separator, text = rest.partition("/")
        if not separator or not (number.isascii() and number.isdigit() and len(number) < 20):
            logger.warning(
                "a text of %d characters on %s is not ours; ignored",
                len(wire),
                topic,
                extra=event("bus.not_ours"),
            )
            return
        key = sender, topic
        last = self._last.pop(key, 0)
        self._last[key] = max(last, int(number))
        if int(number) <= last:
            return
        if len(self._last) > _SENDERS_MAX:
            del self._last[next(iter(self._last))]
        self.take(topic, text)

    def take(self, topic: str, text: str) -> bool:
        """Take a text that is not numbered; return False where it is dropped."""
        if self.waiting.take(text_size(text)):
            self.taken += 1
            self._texts.put_nowait((topic, text))
            self._overflowing = False
            return True
        if not self._overflowing:
            logger.warning(
                "%s wait to be handled; events are dropped",
                self.waiting,
                extra=event("bus.overflowed", direction="in"),
            )
        self._overflowing = True
        self.dropped += 1
        self._on_missed()
        return False

    async def hand_over_forever(self) -> NoReturn:
        """Hand over what comes, in portions. Ends by cancellation only."""
        handed = size = 0
        while True:
            if handed >= _PORTION_MAX or size >= _PORTION_BYTES_MAX:
                handed = size = 0
                await asyncio.sleep(0)
            topic, text = await self._texts.get()
            handed += 1
            size += text_size(text)
            self.waiting.give_back(text_size(text))
            try:
                self._receive(topic, text)
            except Exception:
                # One event must not cost those behind it; the table has what it was about.
                logger.exception("an event on %s could not be handled", topic)
                self._on_missed()
