"""A broadcaster backend on LISTEN/NOTIFY that survives what broadcaster's own does not.

It listens on one connection and sends on another, many notifications in one statement. What
the outbox has numbered is cut into chunks here, at each try: a text that comes again comes
whole, in one transaction, and the inbox knows its number.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, NoReturn, TypeAlias

import asyncpg

from app.delivery.backends.chunks import Assembler, chunked
from app.delivery.backends.remote import RemoteBackend
from app.telemetry.log_fields import event

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
_FAILURES: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # asyncpg's word where a connection is lost between two steps of one statement.
    asyncpg.InternalClientError,
)


class PostgresBackend(RemoteBackend):
    """Events over the notifications of one database."""

    _broker = "Postgres"
    _failures = _send_failures = _FAILURES

    def __init__(self, url: str) -> None:
        """Take the database; nothing is opened before `connect`.

        Args:
            url: postgresql://…; not through a pooler that multiplexes transactions, for
                LISTEN belongs to a session.
        """
        super().__init__()
        self._url = url
        self._assembler = Assembler()
        self._listening: _Connection | None = None
        # One statement at a time on a connection: asyncpg refuses a second.
        self._statements = asyncio.Lock()
        self._lost = asyncio.Event()
        self._sending: _Connection | None = None

    async def disconnect(self) -> None:
        """Send what waits, for at most a second, and close both connections. Idempotent."""
        await super().disconnect()
        if self._sending is not None:
            self._sending.terminate()
            self._sending = None

    async def subscribe(self, group: str) -> None:
        """LISTEN on a topic; while the connection is lost, as soon as it is back."""
        await super().subscribe(group)
        await self._on_listening_connection("add_listener", group)

    async def unsubscribe(self, group: str) -> None:
        """UNLISTEN."""
        await super().unsubscribe(group)
        await self._on_listening_connection("remove_listener", group)

    async def _open(self) -> None:
        connection = self._listening = await self._connected("widgetwire listener")
        self._lost.clear()
        connection.add_termination_listener(lambda _connection: self._lost.set())
        async with self._statements:
            for topic in tuple(self._topics):
                async with asyncio.timeout(_REPLY_TIMEOUT_SECONDS):
                    await connection.add_listener(topic, self._receive)

    async def _listen(self) -> NoReturn:
        while True:
            try:
                # Not wait_for: Python 3.11's drops a cancellation that comes with the event.
                async with asyncio.timeout(_KEEPALIVE_SECONDS):
                    await self._lost.wait()
            except TimeoutError:
                # A dead link is silent too: ask, and wait for the answer.
                await self._ask()
            else:
                raise ConnectionError("the connection is closed")

    async def _drop(self) -> None:
        connection, self._listening = self._listening, None
        if connection is not None:
            connection.terminate()

    async def _ask(self) -> None:
        async with self._statements:
            assert self._listening is not None
            await self._listening.execute("SELECT 1", timeout=_REPLY_TIMEOUT_SECONDS)

    async def _on_listening_connection(self, method: str, topic: str) -> None:
        async with self._statements:
            connection = self._listening
            if connection is not None:
                try:
                    # A link that swallows packets must not keep the lock from the keepalive.
                    async with asyncio.timeout(_REPLY_TIMEOUT_SECONDS):
                        await getattr(connection, method)(topic, self._receive)
                except _FAILURES:
                    connection.terminate()  # and so wake the listener, which opens another

    def _receive(self, _connection: object, _pid: int, topic: str, payload: object) -> None:
        try:
            text = self._assembler.add(str(payload))
        except ValueError:
            logger.warning(
                "a notification on %s is not ours; ignored", topic, extra=event("bus.not_ours")
            )
            return
        if text is not None:
            self._inbox.put(topic, text)

    async def _send(self, batch: Sequence[tuple[str, str]]) -> None:
        if self._sending is None or self._sending.is_closed():
            # No wait for the disk: the messages themselves are committed already.
            self._sending = await self._connected("widgetwire notifier", synchronous_commit="off")
        chunks = [(topic, chunk) for topic, text in batch for chunk in chunked(text)]
        try:
            await self._sending.execute(
                _NOTIFY,
                [topic for topic, _ in chunks],
                [chunk for _, chunk in chunks],
                timeout=_REPLY_TIMEOUT_SECONDS,
            )
        except _FAILURES:
            self._sending.terminate()
            raise

    async def _connected(self, name: str, **settings: str) -> _Connection:
        return await asyncpg.connect(
            self._url,
            timeout=_CONNECT_TIMEOUT_SECONDS,
            server_settings={"application_name": name, **settings},
        )
