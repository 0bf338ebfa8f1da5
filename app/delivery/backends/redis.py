"""A broadcaster backend on Redis publish/subscribe that outlives Redis' restarts.

Redis keeps nothing for those who are away (https://redis.io/docs/latest/develop/pubsub/).
redis-py's `PubSub` is not used: it reconnects by itself and tells nobody that there was a gap.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NoReturn

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from app.delivery.backends.remote import RemoteBackend
from app.errors import ConfigurationError
from app.telemetry.log_fields import event

__all__ = ["RedisBackend"]

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_KEEPALIVE_SECONDS: Final = 5.0
_REPLY_TIMEOUT_SECONDS: Final = 3.0
_PROBE: Final = "widgetwire_probe"
_FAILURES: Final = (RedisError, OSError)


class RedisBackend(RemoteBackend):
    """Events over the channels of one Redis (or Valkey) server.

    A topic's channel is `topic@database`: Redis' databases share their channels, and two
    services that were given two databases of one server must not hear each other.
    """

    _broker = "Redis"
    _failures = _FAILURES
    # A refusal stays one, however often the same text is sent.
    _send_failures = (RedisConnectionError, RedisTimeoutError, OSError)

    def __init__(self, url: str) -> None:
        """Take the server; nothing is opened before `connect`.

        Args:
            url: redis://user:password@host:port/database, or rediss:// for TLS, with
                redis-py's options as its query.

        Raises:
            ConfigurationError: the URL is not one that redis-py takes.
        """
        try:
            self._client = Redis.from_url(
                url,
                socket_timeout=_REPLY_TIMEOUT_SECONDS,
                socket_connect_timeout=_CONNECT_TIMEOUT_SECONDS,
                # They need RESP3, whose pushed replies redis-py keeps to itself.
                maint_notifications_config=MaintNotificationsConfig(enabled=False),
            )
            options = self._client.connection_pool.connection_kwargs
            # Not for the URL to choose. A retry inside redis-py would hide a lost connection.
            options.update(protocol=2, decode_responses=False, health_check_interval=0)
            options.update(retry=Retry(NoBackoff(), 0), retry_on_error=[], retry_on_timeout=False)
            self._suffix = f"@{int(options.get('db') or 0)}"
        except (ValueError, TypeError):
            raise ConfigurationError(
                "the bus: expected redis://user:password@host:port/database, got a URL that "
                "redis-py does not take"
            ) from None
        super().__init__()
        self._connection: AbstractConnection | None = None
        # One command at a time on the listening connection, and none while it is replaced.
        self._commands = asyncio.Lock()
        self._unconfirmed: dict[str, asyncio.Future[None]] = {}

    async def disconnect(self) -> None:
        """Send what waits, for at most a second, and close all connections. Idempotent."""
        await super().disconnect()
        await self._client.aclose()

    async def subscribe(self, group: str) -> None:
        """Subscribe to a topic; returns when the server has confirmed it, or is away."""
        await super().subscribe(group)
        confirmed = self._unconfirmed[group] = asyncio.get_running_loop().create_future()
        if await self._command("SUBSCRIBE", group):
            with suppress(TimeoutError):
                async with asyncio.timeout(_REPLY_TIMEOUT_SECONDS):
                    await confirmed

    async def unsubscribe(self, group: str) -> None:
        """Unsubscribe from a topic."""
        await super().unsubscribe(group)
        self._unconfirmed.pop(group, None)
        await self._command("UNSUBSCRIBE", group)

    async def _open(self) -> None:
        """Connect, and subscribe to all topics; returns when the server has confirmed them."""
        pool = self._client.connection_pool
        connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            async with self._commands:
                self._connection = connection
                wanted = sorted(self._topics)
                for topic in wanted:
                    self._unconfirmed.setdefault(topic, asyncio.get_running_loop().create_future())
                if wanted:
                    await self._say(connection, "SUBSCRIBE", *wanted)
            while not self._unconfirmed.keys().isdisjoint(wanted):
                self._take(await connection.read_response())
        except BaseException:
            with suppress(*_FAILURES):
                await connection.disconnect(nowait=True)
            raise

    async def _prepare(self) -> None:
        """Find out now, not at the first message, what this user may not do."""
        connection = self._connection
        assert connection is not None
        for command in ("SUBSCRIBE", "UNSUBSCRIBE"):
            await self._say(connection, command, _PROBE)
            await connection.read_response()
        await self._client.publish(_PROBE + self._suffix, "")

    async def _drop(self) -> None:
        async with self._commands:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(*_FAILURES):
                    await connection.disconnect()
        # Nobody need wait for a confirmation: the topic is subscribed with the others.
        for confirmed in self._unconfirmed.values():
            if not confirmed.done():
                confirmed.set_result(None)
        self._unconfirmed.clear()

    async def _listen(self) -> NoReturn:
        connection = self._connection
        assert connection is not None
        while True:
            reply = await connection.read_response(timeout=_KEEPALIVE_SECONDS)
            if reply is None:
                # Quiet for a while. A dead link is silent too: ask, and wait for any answer.
                await self._command("PING")
                reply = await connection.read_response()
            self._take(reply)

    async def _send(self, batch: Sequence[tuple[str, str]]) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:
            for topic, text in batch:
                pipeline.publish(topic + self._suffix, text)
            for outcome in await pipeline.execute(raise_on_error=False):
                if isinstance(outcome, Exception):
                    raise outcome

    def _take(self, reply: object) -> None:
        match reply:
            case [b"message", bytes(channel), bytes(data)]:
                try:
                    self._inbox.put(self._topic(channel), data.decode())
                except UnicodeDecodeError:
                    logger.warning(
                        "%d bytes that are not UTF-8 came; ignored",
                        len(data),
                        extra=event("bus.not_ours"),
                    )
            case [b"subscribe", bytes(channel), _]:
                confirmed = self._unconfirmed.pop(self._topic(channel), None)
                if confirmed is not None and not confirmed.done():
                    confirmed.set_result(None)
            case _:
                pass  # the replies to UNSUBSCRIBE and PING

    def _topic(self, channel: bytes) -> str:
        return channel.decode(errors="replace").removesuffix(self._suffix)

    async def _command(self, *command: str) -> bool:
        """Send a command on the listening connection; return whether there is one."""
        async with self._commands:
            if self._connection is None:
                return False
            # A failure closes the connection, and so wakes the listener, which opens another.
            with suppress(*_FAILURES):
                await self._say(self._connection, *command)
        return True

    async def _say(self, connection: AbstractConnection, name: str, *topics: str) -> None:
        if not connection.is_connected:
            # redis-py would connect again, without the subscriptions.
            raise RedisConnectionError("the connection is closed")
        channels = [topic + self._suffix for topic in topics]
        try:
            await connection.send_command(name, *channels, check_health=False)
        except AttributeError:
            if connection.is_connected:
                raise
            # redis-py, where the reader closes the connection between two steps of a command.
            raise RedisConnectionError("the connection is closed") from None
