"""The bus: events from one process to all, over broadcaster and a backend of ours.

Channels are spread over a fixed number of topics; a process subscribes to a topic while it
has a feed open on one of the topic's channels. So what a process receives is bounded by
what its own subscribers need, and broadcaster is never subscribed per socket.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from zlib import crc32

import msgspec
from broadcaster import Broadcast

from app.delivery.budget import Budget, text_size
from app.delivery.events import Event, decode_event, encode_event
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

    def __init__(self, broadcast: Broadcast, origin: str) -> None:
        """Take a `Broadcast` that is not connected yet.

        Args:
            broadcast: over a backend that reconnects by itself.
            origin: this process; its own events are not handed over again.
        """
        self.origin = origin
        self._broadcast = broadcast
        self._on_event: Callable[[Event], None] = lambda _event: None
        self._users: dict[str, int] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        # broadcaster loses a subscriber when two first ones of a topic come at once.
        self._subscribing = asyncio.Lock()
        self._outbox: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._budget = Budget(_OUTBOX_MAX, _OUTBOX_BYTES_MAX)
        self._overflowing = False
        self._sender: asyncio.Task[None] | None = None

    async def start(self, on_event: Callable[[Event], None]) -> None:
        """Connect. `on_event` is called on the loop for each event of another process."""
        self._on_event = on_event
        await self._broadcast.connect()
        self._sender = asyncio.create_task(self._send_forever(), name="bus sender")

    async def stop(self) -> None:
        """Disconnect; what waits to be sent is sent first, for at most a second."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._outbox.join()
        tasks = [*self._readers.values(), *([self._sender] if self._sender else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await self._broadcast.disconnect()

    @property
    def alive(self) -> bool:
        """Whether the tasks that carry events are running."""
        listener = getattr(self._broadcast, "_listener_task", None)
        return bool(
            self._sender is not None
            and not self._sender.done()
            and listener is not None
            and not listener.done()
        )

    def post(self, channel: Channel, event: Event) -> bool:
        """Send an event soon, in order; return False where it is dropped.

        It is dropped where 10,000 events, or 8 MiB of them, wait already. A stored message
        that is not posted is found by the readers' poll of the table.
        """
        text = encode_event(event)
        if not self._budget.take(text_size(text)):
            if not self._overflowing:
                logger.warning("%s wait to be sent; events are dropped", self._budget)
            self._overflowing = True
            return False
        self._overflowing = False
        self._outbox.put_nowait((topic_of(channel), text))
        return True

    async def open(self, channel: Channel) -> None:
        """Receive a channel's events from now on; each `open` wants one `close`.

        A backend that is cut off now subscribes when it is back, and says that something
        may have been missed.

        Raises:
            Unavailable: the backend refused; nothing is left open.
        """
        topic = topic_of(channel)
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

    async def _read(self, topic: str, ready: "asyncio.Future[None]") -> None:
        try:
            async with self._broadcast.subscribe(topic) as subscriber:
                ready.set_result(None)
                # broadcaster's queue has no bound; it stays short, for nothing here waits, and
                # the inbox hands over a portion at a time.
                while True:
                    self._receive((await subscriber.get()).message)
        finally:
            if not ready.done():
                # Whoever opened the channel must not wait for what will never be ready.
                ready.set_exception(Unavailable("the bus cannot be joined now; retry later"))

    def _receive(self, text: str) -> None:
        try:
            event = decode_event(text)
        except msgspec.DecodeError:
            logger.warning("an event of %d characters is not ours; ignored", len(text))
            return
        if event.origin != self.origin:
            self._on_event(event)

    async def _send_forever(self) -> None:
        while True:
            batch = [await self._outbox.get()]
            size = text_size(batch[0][1])
            while (
                len(batch) < _SENT_TOGETHER_MAX
                and size < _SENT_TOGETHER_BYTES_MAX
                and not self._outbox.empty()
            ):
                batch.append(self._outbox.get_nowait())
                size += text_size(batch[-1][1])
            # Started in order; the backend keeps that order and may send them as one.
            sent = await asyncio.gather(
                *(self._broadcast.publish(topic, text) for topic, text in batch),
                return_exceptions=True,
            )
            # Stored messages are found by the readers' poll; one loss must not be many.
            counts = Counter(map(type, sent))
            for kind, example in {type(one): one for one in sent if one is not None}.items():
                why = str(example) or repr(example)
                logger.warning(
                    "%d of %d events could not be sent: %s", counts[kind], len(batch), why
                )
            for _, text in batch:
                self._budget.give_back(text_size(text))
                self._outbox.task_done()
