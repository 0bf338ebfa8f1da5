"""What is Redis' own: links that hang, users, databases, a server that refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from broadcaster import Broadcast
from redis.asyncio import Connection

from app.delivery.backends.redis import RedisBackend
from app.errors import ConfigurationError
from tests.broker import Broker
from tests.delivery.brokers import redis_server

pytestmark = pytest.mark.timeout(60)


class End:
    """A backend, and what it is handed."""

    def __init__(self, url: str) -> None:
        self.backend = RedisBackend(url)
        self.missed = asyncio.Event()
        self._came: asyncio.Queue[str] = asyncio.Queue()
        self.backend.attach(lambda _topic, text: self._came.put_nowait(text), self.missed.set)

    async def text(self) -> str:
        """Return the next event's text."""
        return await asyncio.wait_for(self._came.get(), 20)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[End]:
    """An end whose backend broadcaster has connected."""
    end = End(url)
    async with Broadcast(backend=end.backend):
        yield end


@pytest.mark.anyio
async def test_a_server_that_hangs_is_given_up_and_found_again(redis: Broker) -> None:
    async with connected(redis.url) as end:
        backend = end.backend
        await backend.subscribe("topic")
        redis.freeze()
        publishing = asyncio.create_task(backend.publish("topic", "while it hangs"))
        # Longer than its replies are waited for: the batch is sent again, and comes once.
        await asyncio.sleep(4)
        redis.thaw()
        await asyncio.wait_for(publishing, 20)
        assert await end.text() == "while it hangs"
        await backend.publish("topic", "after")
        assert await end.text() == "after"


@pytest.mark.anyio
async def test_a_connection_that_is_lost_within_a_command_is_subscribed_later(
    redis: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py writes to what is None by then: whoever opened a channel was told an error."""
    async with connected(redis.url) as end:
        backend = end.backend
        connection = backend._connection
        assert isinstance(connection, Connection)
        send = connection._send_packed_command

        async def lost_before(command: list[bytes]) -> None:
            await connection.disconnect(nowait=True)
            await send(command)

        monkeypatch.setattr(connection, "_send_packed_command", lost_before)
        await backend.subscribe("topic")
        await asyncio.wait_for(end.missed.wait(), 20)
        await backend.publish("topic", "after")
        assert await end.text() == "after"


@pytest.mark.anyio
async def test_databases_of_one_server_do_not_hear_each_other(redis: Broker) -> None:
    async with (
        connected(f"{redis.url}/0") as zero,
        connected(f"{redis.url}/1?protocol=3&decode_responses=yes") as one,
    ):
        for end in (zero, one):
            await end.backend.subscribe("topic")
        await zero.backend.publish("topic", "for 0")
        await one.backend.publish("topic", "for 1")
        assert (await zero.text(), await one.text()) == ("for 0", "for 1")


@pytest.mark.anyio
async def test_a_user_with_just_the_documented_rights_is_enough(tmp_path: Path) -> None:
    rights = ("on", ">secret", "&widgetwire_*", "+subscribe", "+unsubscribe", "+publish", "+ping")
    broker = redis_server(tmp_path, "--user", "widgetwire", *rights)
    broker.start()
    try:
        url = broker.url.replace("//", "//widgetwire:secret@")
        async with connected(url) as end:
            await end.backend.subscribe("widgetwire_1")
            await end.backend.publish("widgetwire_1", "allowed")
            assert await end.text() == "allowed"
        with pytest.raises(ConfigurationError, match="Redis cannot be used"):
            await RedisBackend(url.replace("secret", "wrong")).connect()
    finally:
        broker.close()


@pytest.mark.anyio
async def test_a_user_without_the_channels_is_refused_at_start(tmp_path: Path) -> None:
    rights = ("on", ">secret", "+subscribe", "+unsubscribe", "+publish", "+ping", "resetchannels")
    broker = redis_server(tmp_path, "--user", "widgetwire", *rights)
    broker.start()
    try:
        backend = RedisBackend(broker.url.replace("//", "//widgetwire:secret@"))
        with pytest.raises(ConfigurationError, match="channel"):
            await backend.connect()
    finally:
        broker.close()


def test_a_url_redis_does_not_take_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigurationError) as raised:
        RedisBackend("redis://:hunter2@host:notaport/0")
    assert "hunter2" not in str(raised.value)
