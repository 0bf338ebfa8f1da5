"""The bus: events from one process to all, over broadcaster and a backend of ours.

Channels are spread over a fixed number of topics; a process subscribes to a topic while it
has a feed open on one of the topic's channels. So what a process receives is bounded by
what its own subscribers need, and broadcaster is never subscribed per socket.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NoReturn
from zlib import crc32

import msgspec
from broadcaster import Broadcast

from app.delivery.budget import Budget, text_size
from app.delivery.events import Echo, Event, decode_event, encode_event
from app.delivery.pulse import Pulse
from app.delivery.supervision import AGAIN_SECONDS, keep_running
from app.domain.channel import Channel
from app.errors import Unavailable

__all__ = ["TOPICS", "Bus", "topic_of"]

logger = logging.getLogger(__name__)

TOPICS: Final = 64
_OUTBOX_MAX: Final = 10_000
_OUTBOX_BYTES_MAX: Final = 8 * 1024 * 1024
_SENT_TOGETHER_MAX: Final = 200
_SENT_TOGETHER_BYTES_MAX: Final = 1024 * 1024
"""Reached, and a batch is not added to."""


def topic_of(channel: Channel) -> str:
    """Return the topic that carries a channel's events, the same in every process."""
    return f"widgetwire_{crc32(channel.key.encode()) % TOPICS}"


class Bus:
    """Sends events and hands over those that arrive."""

    def __init__(
        self,
        broadcast: Broadcast,
        origin: str,
        *,
        pulse_interval_seconds: float = 2.0,
        pulse_stale_seconds: float = 10.0,
    ) -> None:
        """Take a `Broadcast` that is not connected yet.

        Args:
            broadcast: over a backend that reconnects by itself.
            origin: this process; its own events are not handed over again.
            pulse_interval_seconds: between two echoes that this process sends itself.
            pulse_stale_seconds: how old the last echo may be while all is well; more than a
                lost connection takes to be noticed and opened again.
        """
        self.origin = origin
        self._broadcast = broadcast
        self._on_event: Callable[[Event], None] = lambda _event: None
        self._on_missed: Callable[[], None] = lambda: None
        self._users: dict[str, int] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        # broadcaster loses a subscriber when two first ones of a topic come at once.
        self._subscribing = asyncio.Lock()
        self._outbox: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._budget = Budget(_OUTBOX_MAX, _OUTBOX_BYTES_MAX)
        self._overflowing = False
        self._pulse = Pulse(
            self._post_echo,
            interval_seconds=pulse_interval_seconds,
            stale_seconds=pulse_stale_seconds,
        )
        self._pulse_topic = f"widgetwire_pulse_{origin}"
        self._tasks: list[asyncio.Task[NoReturn]] = []

    async def start(
        self, on_event: Callable[[Event], None], on_missed: Callable[[], None] = lambda: None
    ) -> None:
        """Connect.

        Args:
            on_event: called on the loop for each event of another process. One that raises is
                logged.
            on_missed: called on the loop when events may have been lost on this side of the
                backend.
        """
        self._on_event = on_event
        self._on_missed = on_missed
        await self._broadcast.connect()
        self._tasks = [
            asyncio.create_task(keep_running(name, run), name=name)
            for name, run in (
                ("bus sender", self._send_forever),
                ("bus pulse", self._beat_forever),
                ("bus listener watch", self._watch_listener),
            )
        ]

    async def stop(self) -> None:
        """Disconnect; what waits to be sent is sent first, for at most a second."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._outbox.join()
        tasks = [*self._readers.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await self._broadcast.disconnect()

    async def trouble(self) -> str | None:
        """Return None while events flow, by observation; else what is wrong. See `Pulse`."""
        return await self._pulse.trouble()

    def post(self, channel: Channel, event: Event) -> bool:
        """Send an event soon, in order; return False where it is dropped.

        It is dropped where 10,000 events, or 8 MiB of them, wait already. A stored message
        that is not posted is found by the readers' poll of the table.
        """
        return self._post(topic_of(channel), encode_event(event))

    def _post_echo(self, number: int) -> bool:
        return self._post(self._pulse_topic, encode_event(Echo(self.origin, number)))

    def _post(self, topic: str, text: str) -> bool:
        if not self._budget.take(text_size(text)):
            if not self._overflowing:
                logger.warning("%s wait to be sent; events are dropped", self._budget)
            self._overflowing = True
            return False
        self._overflowing = False
        self._outbox.put_nowait((topic, text))
        return True

    async def open(self, channel: Channel) -> None:
        """Receive a channel's events from now on; each `open` wants one `close`.

        A backend that is cut off now subscribes when it is back, and says that something
        may have been missed.

        Raises:
            Unavailable: the backend refused; nothing is left open.
        """
        await self._open(topic_of(channel))

    async def _open(self, topic: str) -> None:
        async with self._subscribing:
            self._users[topic] = self._users.get(topic, 0) + 1
            if topic not in self._readers:
                ready = asyncio.get_running_loop().create_future()
                task = asyncio.create_task(self._read(topic, ready), name=f"bus reader {topic}")
                self._readers[topic] = task
                try:
                    await ready
                except BaseException:
                    del self._users[topic], self._readers[topic]
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    raise

    async def close(self, channel: Channel) -> None:
        """Undo one `open`."""
        topic = topic_of(channel)
        async with self._subscribing:
            self._users[topic] -= 1
            if not self._users[topic]:
                del self._users[topic]
                reader = self._readers.pop(topic)
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)

    async def _beat_forever(self) -> None:
        if self._pulse_topic not in self._users:
            await self._open(self._pulse_topic)
        await self._pulse.beat_forever()

    async def _watch_listener(self) -> None:
        """Begin broadcaster's listener again where it ends: nobody else notices."""
        while not (listener := self._broadcast._listener_task).cancelled():
            await asyncio.wait({listener})
            # Another bus on the same `Broadcast` may have been quicker.
            if self._broadcast._listener_task is listener and not listener.cancelled():
                logger.error(
                    "broadcaster's listener ended; it begins again", exc_info=listener.exception()
                )
                self._broadcast._listener_task = asyncio.create_task(self._broadcast._listener())
                await asyncio.sleep(AGAIN_SECONDS)
            self._on_missed()
        await asyncio.Event().wait()  # disconnected

    async def _read(self, topic: str, ready: "asyncio.Future[None]") -> None:
        """Hand over a topic's events until it is cancelled, or cannot subscribe at first."""
        try:
            while True:
                try:
                    await self._read_once(topic, ready)
                except Exception:
                    logger.exception("the reader of %s failed", topic)
                if not ready.done():
                    return
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            if not ready.done():
                # Whoever opened the channel must not wait for what will never be ready.
                ready.set_exception(Unavailable("the bus cannot be joined now; retry later"))

    async def _read_once(self, topic: str, ready: "asyncio.Future[None]") -> None:
        async with self._broadcast.subscribe(topic) as subscriber:
            if ready.done():
                self._on_missed()
            else:
                ready.set_result(None)
            # broadcaster's queue has no bound; it stays short, for nothing here waits, and
            # the inbox hands over a portion at a time.
            while True:
                self._receive((await subscriber.get()).message)

    def _receive(self, text: str) -> None:
        try:
            event = decode_event(text)
        except msgspec.DecodeError:
            logger.warning("an event of %d characters is not ours; ignored", len(text))
            return
        if isinstance(event, Echo):
            if event.origin == self.origin:
                self._pulse.came(event.number)
        elif event.origin != self.origin:
            try:
                self._on_event(event)
            except Exception:
                # One event must not cost those behind it; the table has what it was about.
                logger.exception("an event of %s could not be handled", event.channel)
                self._on_missed()

    async def _send_forever(self) -> None:
        while True:
            batch = [await self._outbox.get()]
            try:
                size = text_size(batch[0][1])
                while (
                    len(batch) < _SENT_TOGETHER_MAX
                    and size < _SENT_TOGETHER_BYTES_MAX
                    and not self._outbox.empty()
                ):
                    batch.append(self._outbox.get_nowait())
                    size += text_size(batch[-1][1])
                await self._send(batch)
            finally:
                for _, text in batch:
                    self._budget.give_back(text_size(text))
                    self._outbox.task_done()

    async def _send(self, batch: Sequence[tuple[str, str]]) -> None:
        # Started in order; the backend keeps that order and may send them as one.
        sent = await asyncio.gather(
            *(self._broadcast.publish(topic, text) for topic, text in batch),
            return_exceptions=True,
        )
        # Stored messages are found by the readers' poll; one loss must not be many.
        counts = Counter(map(type, sent))
        for kind, example in {type(one): one for one in sent if one is not None}.items():
            why = str(example) or repr(example)
            logger.warning("%d of %d events could not be sent: %s", counts[kind], len(batch), why)
