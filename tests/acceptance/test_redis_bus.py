"""Two processes that hear each other over Redis, which goes away and comes back."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.graphql_socket import GraphQLSocket
from tests.acceptance.widget import Widget
from tests.broker import Broker
from tests.delivery.brokers import redis_server
from tests.served import Served

pytestmark = pytest.mark.anyio


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Broker]:
    """A running Redis that is this test's own."""
    broker = redis_server(tmp_path)
    broker.start()
    yield broker
    broker.close()


async def test_messages_and_counts_cross_and_redis_away_leaves_no_hole(
    redis: Broker, serve: Callable[..., Served]
) -> None:
    pair = [serve(WIDGETWIRE_BROADCAST_URL=redis.url) for _ in range(2)]
    widget = Widget.new()
    async with GraphQLSocket(pair[0]) as first, GraphQLSocket(pair[1]) as second:
        heard = [await widget.subscribe(socket) for socket in (first, second)]
        count = await widget.watch(first)
        await count.until({"count": 2})
        stored = [await widget.publish(first, "stored"), await widget.publish(second, "stored")]
        for subscription in heard:
            assert [one["id"] for one in await subscription.take(2)] == [m["id"] for m in stored]
        passing = await widget.publish(second, "é" * 30_000, persistent=False)
        for subscription in heard:
            assert (await subscription.next())["id"] == passing["id"]

        redis.kill()
        missed = [await widget.publish((first, second)[n % 2], n) for n in range(20)]
        redis.start()
        for served in pair:
            served.wait_for_output("reconnected to Redis")
        missed.append(await widget.publish(first, "after"))
        for subscription in heard:
            assert [one["id"] for one in await subscription.take(21)] == [m["id"] for m in missed]
            assert subscription.nothing_waits()
        passing = await widget.publish(first, "passing", persistent=False)
        for subscription in heard:
            assert (await subscription.next())["id"] == passing["id"]


async def test_readiness_is_an_event_that_comes_back(
    redis: Broker, serve: Callable[..., Served]
) -> None:
    """It was a task that runs: a process that heard nothing more was ready."""
    served = serve(WIDGETWIRE_BROADCAST_URL=redis.url)
    async with httpx.AsyncClient(base_url=served.url, verify=False) as http:

        async def bus(status: int) -> str:
            async with asyncio.timeout(30):
                while (  # noqa: ASYNC110
                    response := await http.get("/healthz/ready")
                ).status_code != status:
                    await asyncio.sleep(0.2)
            return str(response.json()["checks"]["bus"])

        assert (await http.get("/healthz/ready")).status_code == 200
        redis.kill()
        assert re.fullmatch(
            r"the last event returned from the bus 1\d s ago; expected every 2 s", await bus(503)
        )
        redis.start()
        assert await bus(200) == "ok"


def test_a_redis_that_is_not_there_ends_the_start_with_the_reason(
    serve: Callable[..., Served],
) -> None:
    served = serve(WIDGETWIRE_BROADCAST_URL="redis://:hunter2@127.0.0.1:1", wait=False)
    assert served.wait() == 1
    assert "the bus: cannot use Redis" in served.output
    assert "hunter2" not in served.output
    assert "Traceback" not in served.output
