"""The bus: events from one process to all, over broadcaster and a backend of ours.

Channels are spread over a fixed number of topics; a process subscribes to a topic while it
has a feed open on one of the topic's channels. So what a process receives is bounded by
what its own subscribers need, and broadcaster is never subscribed per socket.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, NoReturn
from zlib import crc32

import msgspec
from broadcaster import Broadcast

from app.delivery.backends.backend import Backend
from app.delivery.events import Echo, Event, decode_event, encode_event
from app.delivery.pulse import Pulse
from app.delivery.supervision import keep_running
from app.domain.channel import Channel
from app.errors import Unavailable
from app.telemetry.log_fields import event as logged

__all__ = ["TOPICS", "Bus", "topic_of"]

logger = logging.getLogger(__name__)

TOPICS: Final = 64


def topic_of(channel: Channel) -> str:
    """Return the topic that carries a channel's events, the same in every process."""
    return f"widgetwire_{crc32(channel.key.encode()) % TOPICS}"


class Bus:
    """Sends events and hands over those that arrive."""

    def __init__(
        self,
        backend: Backend,
        origin: str,
        *,
        pulse_interval_seconds: float = 2.0,
        pulse_stale_seconds: float = 10.0,
    ) -> None:
        """Take a backend that is not connected yet.

        Args:
            backend: reconnects by itself. It belongs to this bus from now on.
            origin: this process; its own events are not handed over again.
            pulse_interval_seconds: between two echoes that this process sends itself.
            pulse_stale_seconds: how old the last echo may be while all is well; more than a
                lost connection takes to be noticed and opened again.
        """
        self.origin = origin
        self.backend = backend
        """What carries the events; to be looked at only."""
        self._broadcast = Broadcast(backend=backend)
        self._on_event: Callable[[Event], None] = lambda _event: None
        self._users: Counter[str] = Counter()
        self._subscriptions: dict[str, AbstractAsyncContextManager[object]] = {}
        # broadcaster loses a subscriber when two first ones of a topic come at once.
        self._subscribing = asyncio.Lock()
        self._pulse = Pulse(
            self._post_echo,
            interval_seconds=pulse_interval_seconds,
            stale_seconds=pulse_stale_seconds,
        )
        self._pulse_topic = f"widgetwire_pulse_{origin}"
        self._beating: asyncio.Task[NoReturn] | None = None

    async def start(
        self, on_event: Callable[[Event], None], on_missed: Callable[[], None] = lambda: None
    ) -> None:
        """Connect.

        Args:
            on_event: called on the loop for each event of another process. One that raises is
                logged.
            on_missed: called on the loop when events may have been lost.
        """
        self._on_event = on_event
        self.backend.attach(self._receive, on_missed)
        await self._broadcast.connect()
        self._beating = asyncio.create_task(
            keep_running("bus pulse", self._beat_forever), name="bus pulse"
        )

    async def stop(self) -> None:
        """Disconnect; what waits to be sent is sent first, for at most a second."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await self._broadcast.disconnect()
        # Last: no broker need be told any more.
        for topic in tuple(self._subscriptions):
            await self._unsubscribe(topic)

    @property
    def lag_seconds(self) -> float:
        """How long an event takes that comes round through the broker. See `Pulse`."""
        return self._pulse.lag_seconds

    async def trouble(self) -> str | None:
        """Return None while events flow, by observation; else what is wrong. See `Pulse`."""
        return await self._pulse.trouble()

    def post(self, channel: Channel, event: Event) -> bool:
        """Send an event soon, in order; return False where it is dropped.

        It is dropped where 10,000 events, or 8 MiB of them, wait already. A stored message
        that is not posted is found by the readers' poll of the table.

        Raises:
            PayloadTooLarge: the broker takes no event of this size.
        """
        return self.backend.post(topic_of(channel), encode_event(event))

    async def open(self, channel: Channel) -> None:
        """Receive a channel's events from now on; each `open` wants one `close`.

        A backend that is cut off now subscribes when it is back, and says that something
        may have been missed.

        Raises:
            Unavailable: the backend refused; nothing is left open.
        """
        topic = topic_of(channel)
        async with self._subscribing:
            if topic not in self._subscriptions:
                await self._subscribe(topic)
            self._users[topic] += 1

    async def close(self, channel: Channel) -> None:
        """Undo one `open`."""
        topic = topic_of(channel)
        async with self._subscribing:
            self._users[topic] -= 1
            if not self._users[topic]:
                await self._unsubscribe(topic)

    async def _subscribe(self, topic: str) -> None:
        subscription = self._broadcast.subscribe(topic)
        try:
            await subscription.__aenter__()
        except BaseException as error:
            # broadcaster's own clean-up fails, with a KeyError, over what went wrong.
            cause = error.__context__ or error
            if not isinstance(cause, Exception):
                raise cause from None
            logger.warning(
                "%s could not be subscribed to", topic, exc_info=cause, extra=logged("bus.refused")
            )
            raise Unavailable("the bus cannot be joined now; retry later") from cause
        self._subscriptions[topic] = subscription

    async def _unsubscribe(self, topic: str) -> None:
        await self._subscriptions.pop(topic).__aexit__(None, None, None)

    async def _beat_forever(self) -> None:
        if self._pulse_topic not in self._subscriptions:
            await self._subscribe(self._pulse_topic)
        await self._pulse.beat_forever()

    def _post_echo(self, number: int) -> bool:
        return self.backend.post(self._pulse_topic, encode_event(Echo(self.origin, number)))

    def _receive(self, topic: str, text: str) -> None:
        try:
            event = decode_event(text)
        except msgspec.DecodeError:
            logger.warning(
                "an event of %d characters on %s is not ours; ignored",
                len(text),
                topic,
                extra=logged("bus.not_ours"),
            )
            return
        if isinstance(event, Echo):
            if event.origin == self.origin:
                self._pulse.came(event.number)
        elif event.origin != self.origin:
            self._on_event(event)
