"""A broadcaster backend on LISTEN/NOTIFY that survives what broadcaster's own does not.

It listens on a connection of its own, proves that connection alive, opens it again with
jitter when it is lost, and then says that notifications may have been missed. It sends on
another connection, many notifications in one statement.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

import asyncpg
from broadcaster import BroadcastBackend, Event
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from app.delivery.chunks import Assembler, chunked

__all__ = ["PostgresBackend"]

logger = logging.getLogger(__name__)

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_NOTIFY: Final = (
    "SELECT pg_notify(n.topic, n.payload) "
    "FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (topic, payload, ordinal) "
    "ORDER BY n.ordinal"
)
_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_KEEPALIVE_SECONDS: Final = 5.0
_REPLY_TIMEOUT_SECONDS: Final = 3.0
_SEND_FOR_SECONDS: Final = 15.0
_RECEIVED_MAX: Final = 10_000
_FAILURES: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # asyncpg's word where a connection is lost between two steps of one statement.
    asyncpg.InternalClientError,
)


class PostgresBackend(BroadcastBackend):
    """Events over the notifications of one database."""

    def __init__(self, url: str, on_missed: Callable[[], None]) -> None:
        """Take the database; nothing is opened before `connect`.

        Args:
            url: postgresql://…; not through a pooler that multiplexes transactions, for
                LISTEN belongs to a session.
            on_missed: called on the loop whenever notifications may have been lost.
        """
        self._url = url
        self._on_missed = on_missed
        self._topics: set[str] = set()
        self._received: asyncio.Queue[Event] = asyncio.Queue(_RECEIVED_MAX)
        self._assembler = Assembler()
        self._listening: _Connection | None = None
        # One statement at a time on a connection: asyncpg refuses a second.
        self._listening_lock = asyncio.Lock()
        self._lost = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._sending: _Connection | None = None
        self._outbox: list[tuple[str, str]] = []
        self._sent: asyncio.Future[None] | None = None
        self._sender: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Open the listening connection and keep it open.

        Raises:
            OSError, asyncpg.PostgresError: the first time it must succeed.
        """
        await self._listen()
        self._supervisor = asyncio.create_task(self._supervise(), name="notification listener")

    async def disconnect(self) -> None:
        """Close both connections. Idempotent."""
        tasks = [task for task in (self._supervisor, self._sender) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._sent is not None:
            # A sender that was cancelled before it began has told nobody.
            self._sent.cancel()
        for connection in (self._listening, self._sending):
            if connection is not None:
                connection.terminate()
        self._listening = self._sending = None

    async def subscribe(self, group: str) -> None:
        """LISTEN on a topic; when the connection is lost, as soon as it is back."""
        self._topics.add(group)
        await self._on_listening_connection("add_listener", group)

    async def unsubscribe(self, group: str) -> None:
        """UNLISTEN."""
        self._topics.discard(group)
        await self._on_listening_connection("remove_listener", group)

    async def publish(self, channel: str, message: Any) -> None:
        """Send a text to a topic, with all others that wait, in the order of the calls.

        Raises:
            OSError, asyncpg.PostgresError: the database stayed away for 15 s.
        """
        self._outbox.extend((channel, chunk) for chunk in chunked(message))
        if self._sent is None:
            self._sent = asyncio.get_running_loop().create_future()
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send(), name="notification sender")
        await asyncio.shield(self._sent)

    async def next_published(self) -> Event:
        """Return the next event received."""
        return await self._received.get()

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._url,
            timeout=_CONNECT_TIMEOUT_SECONDS,
            server_settings={"application_name": "widgetwire listener"},
        )
        self._lost.clear()
        connection.add_termination_listener(lambda _connection: self._lost.set())
        async with self._listening_lock:
            for topic in tuple(self._topics):
                async with asyncio.timeout(_REPLY_TIMEOUT_SECONDS):
                    await connection.add_listener(topic, self._receive)
            self._listening = connection

    async def _supervise(self) -> None:
        while True:
            try:
                # Not wait_for: Python 3.11's drops a cancellation that comes with the event.
                async with asyncio.timeout(_KEEPALIVE_SECONDS):
                    await self._lost.wait()
            except TimeoutError:
                if await self._answers():
                    continue
            logger.warning("the notification listener lost its connection; opening it again")
            if self._listening is not None:
                self._listening.terminate()
                self._listening = None
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_FAILURES),
                wait=wait_random_exponential(multiplier=0.1, max=2.0),
            ):
                with attempt:
                    await self._listen()
            logger.info("the notification listener is connected again")
            self._on_missed()

    async def _answers(self) -> bool:
        connection = self._listening
        if connection is None:
            return False
        try:
            async with self._listening_lock:
                await connection.execute("SELECT 1", timeout=_REPLY_TIMEOUT_SECONDS)
        except _FAILURES:
            return False
        return True

    async def _on_listening_connection(self, method: str, topic: str) -> None:
        async with self._listening_lock:
            if self._listening is not None:
                try:
                    # A link that swallows packets must not keep the lock from the keepalive.
                    async with asyncio.timeout(_REPLY_TIMEOUT_SECONDS):
                        await getattr(self._listening, method)(topic, self._receive)
                except _FAILURES:
                    self._lost.set()

    def _receive(self, _connection: object, _pid: int, topic: str, payload: object) -> None:
        try:
            text = self._assembler.add(str(payload))
            if text is not None:
                self._received.put_nowait(Event(topic, text))
        except ValueError:
            logger.warning("a notification on %s is not ours; ignored", topic)
        except asyncio.QueueFull:
            logger.warning("%d events wait to be handled; one was dropped", _RECEIVED_MAX)
            self._on_missed()

    async def _send(self) -> None:
        while self._outbox:
            batch, self._outbox = self._outbox, []
            sent, self._sent = self._sent, None
            assert sent is not None
            try:
                async for attempt in AsyncRetrying(
                    retry=retry_if_exception_type(_FAILURES),
                    stop=stop_after_delay(_SEND_FOR_SECONDS),
                    wait=wait_random_exponential(multiplier=0.05, max=1.0),
                    reraise=True,
                ):
                    with attempt:
                        await self._notify(batch)
                sent.set_result(None)
            except BaseException as error:
                sent.set_exception(error)
                sent.exception()  # its waiters may be gone
                if not isinstance(error, Exception):
                    raise

    async def _notify(self, batch: list[tuple[str, str]]) -> None:
        if self._sending is None or self._sending.is_closed():
            self._sending = await asyncpg.connect(
                self._url,
                timeout=_CONNECT_TIMEOUT_SECONDS,
                server_settings={
                    "application_name": "widgetwire notifier",
                    # Nothing to lose: the messages themselves are committed already.
                    "synchronous_commit": "off",
                },
            )
        try:
            await self._sending.execute(
                _NOTIFY,
                [topic for topic, _ in batch],
                [payload for _, payload in batch],
                timeout=_REPLY_TIMEOUT_SECONDS,
            )
        except _FAILURES:
            with suppress(*_FAILURES):
                self._sending.terminate()
            self._sending = None
            raise
