"""How many are connected: exact over processes, and right again after one dies."""

import asyncio
import json
import time
from collections.abc import Callable

import httpx
import pytest
from websockets.asyncio.client import connect

from app.config import Settings
from app.defaults import PRESENCE_HEARTBEAT_SECONDS
from tests.acceptance.graphql_socket import GraphQLSocket
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = pytest.mark.anyio

Pair = tuple[Served, Served]


async def test_both_processes_count_the_connections_of_both(pair: Pair) -> None:
    widget = Widget.new()
    async with GraphQLSocket(pair[0]) as watcher, GraphQLSocket(pair[1]) as other_watcher:
        counts = [await widget.watch(watcher), await widget.watch(other_watcher)]
        for count in counts:
            # Those who only watch are not counted.
            assert await count.next() == {"count": 0}
        async with GraphQLSocket(pair[0]) as first, GraphQLSocket(pair[1]) as second:
            await widget.subscribe(first)
            await widget.live(second)
            for count in counts:
                await count.until({"count": 2})
            assert await widget.count(watcher) == await widget.count(other_watcher) == 2
        for count in counts:
            await count.until({"count": 0})


async def test_a_connection_counts_once_however_many_subscriptions_it_has(pair: Pair) -> None:
    widget = Widget.new()
    async with GraphQLSocket(pair[0]) as watcher, GraphQLSocket(pair[1]) as twice:
        counts = await widget.watch(watcher)
        assert await counts.next() == {"count": 0}
        first, second = await widget.subscribe(twice), await widget.live(twice)
        assert await counts.next() == {"count": 1}
        await first.complete()
        assert await widget.count(watcher) == 1
        await second.complete()
        # 2 never came, and leaving is by subscription, not by connection.
        assert await counts.next() == {"count": 0}


async def test_a_legacy_socket_and_an_event_stream_count(pair: Pair) -> None:
    widget = Widget.new()
    async with GraphQLSocket(pair[0]) as watcher:
        counts = await widget.watch(watcher)
        assert await counts.next() == {"count": 0}
        url = f"{pair[1].ws_url}/c8/{widget.project}/{widget.widget}"
        async with connect(url) as legacy, httpx.AsyncClient(timeout=20) as http:
            await legacy.send(json.dumps({"type": "open"}))
            assert json.loads(await legacy.recv())["connections"] == 1
            assert await counts.next() == {"count": 1}
            document = (
                f'subscription {{ messages(projectId: "{widget.project}", '
                f'widgetId: "{widget.widget}") {{ id }} }}'
            )
            async with http.stream(
                "POST",
                f"{pair[1].url}/graphql",
                json={"query": document},
                headers={"accept": "text/event-stream"},
            ) as stream:
                assert stream.status_code == 200
                assert await counts.next() == {"count": 2}
            assert await counts.next() == {"count": 1}
        assert await counts.next() == {"count": 0}


async def test_a_crowd_is_told_of_in_a_few_steps_and_exactly_at_rest(pair: Pair) -> None:
    widget = Widget.new()
    async with GraphQLSocket(pair[0]) as watcher:
        counts = await widget.watch(watcher)
        crowd = [GraphQLSocket(pair[number % 2]) for number in range(60)]
        began = time.monotonic()
        for member in crowd:
            await member.__aenter__()
            await widget.subscribe(member)
        told = await counts.until({"count": 60})
        lasted = time.monotonic() - began
        assert len(told) <= 4 * lasted + 3, "at most 4 a second, the first and the last besides"
        await asyncio.gather(*(member.__aexit__() for member in crowd))
        await counts.until({"count": 0})


async def test_connections_of_a_killed_process_vanish_when_its_lease_ends(
    serve: Callable[..., Served],
) -> None:
    """Promised are 10 s: the lease, and a heartbeat until it is noticed."""
    lease, heartbeat, said = 2.0, 0.6, 1.0
    usual = Settings.model_fields["presence_lease_seconds"].default
    assert usual + PRESENCE_HEARTBEAT_SECONDS + said <= 10
    settings = {
        "WIDGETWIRE_PRESENCE_LEASE_SECONDS": str(lease),
        "WIDGETWIRE_PRESENCE_HEARTBEAT_SECONDS": str(heartbeat),
    }
    widget = Widget.new()
    living, dying = serve(**settings), serve(**settings)
    async with GraphQLSocket(living) as watcher, GraphQLSocket(living) as staying:
        counts = await widget.watch(watcher)
        await widget.subscribe(staying)
        clients = [GraphQLSocket(dying) for _ in range(3)]
        for client in clients:
            await client.__aenter__()
            await widget.subscribe(client)
        await counts.until({"count": 4})
        killed = time.monotonic()
        dying.kill()
        assert await counts.next() == {"count": 1}
        assert time.monotonic() - killed < lease + heartbeat + said
        assert await widget.count(watcher) == 1
        for client in clients:
            await client.__aexit__()
