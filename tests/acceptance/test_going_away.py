"""Guarantee 7: a process that is asked to end keeps its word, and its clients come back."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.acceptance.graphql_socket import Disconnected, GraphQLSocket
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sigterm_under_load_loses_nothing_and_closes_so_that_clients_return(
    serve: Callable[..., Served], workers: str
) -> None:
    widget = Widget.new()
    served = serve("--workers", workers)
    sockets = [GraphQLSocket(served) for _ in range(20)]
    for socket in sockets:
        await socket.__aenter__()
    heard = [await widget.subscribe(socket) for socket in sockets]
    acknowledged: list[str] = []

    async def publish(socket: GraphQLSocket) -> int:
        try:
            while True:
                message = await widget.publish(socket, {"any": "thing"})
                acknowledged.append(message["id"])
                flowing.set()
        except Disconnected as disconnected:
            return disconnected.code

    flowing = asyncio.Event()
    publishing = [asyncio.create_task(publish(socket)) for socket in sockets[:8]]
    await flowing.wait()
    asked = time.monotonic()
    served.terminate()
    assert {await task for task in publishing} == {1012}
    assert {await socket.closed() for socket in sockets} == {1012}
    assert await asyncio.to_thread(served.wait) == 0
    assert time.monotonic() - asked < 10
    for socket in sockets:
        await socket.__aexit__()

    # Another process takes over: all that was acknowledged is there, and each subscriber
    # goes on after the last message it received.
    async with GraphQLSocket(serve()) as socket:
        stored = [message["id"] for message in await widget.stored(socket)]
        assert set(acknowledged) <= set(stored)
        assert len(set(acknowledged)) == len(acknowledged)
        for subscription in heard:
            ids = []
            while (frame := subscription.frames.get_nowait())["type"] == "next":
                ids.append(frame["payload"]["data"]["messages"]["id"])
            assert frame["type"] == "closed", "a `complete` would end the subscription for good"
            assert ids
            resumed = await widget.subscribe(socket, after=ids[-1])
            end = await widget.publish(socket, "end")
            rest = [m["id"] for m in await resumed.take(len(stored) - len(ids) + 1)]
            stored.append(end["id"])
            assert [*ids, *rest] == stored


async def test_its_connections_are_not_counted_any_more_at_once(
    serve: Callable[..., Served],
) -> None:
    widget = Widget.new()
    staying, leaving = serve(), serve()
    async with GraphQLSocket(staying) as watcher, GraphQLSocket(leaving) as client:
        counts = await widget.watch(watcher)
        await widget.subscribe(client)
        await counts.until({"count": 1})
        asked = time.monotonic()
        leaving.terminate()
        assert await counts.next() == {"count": 0}
        # Not by the lease running out, which takes seconds more.
        assert time.monotonic() - asked < 5


async def test_legacy_sockets_and_streams_end_so_that_clients_return(
    serve: Callable[..., Served],
) -> None:
    widget = Widget.new()
    served = serve()
    document = """
        subscription ($project: ID!, $widget: ID!) {
          messages(projectId: $project, widgetId: $widget) { id }
        }
    """
    async with (
        connect(f"{served.ws_url}/c8/{widget.project}/{widget.widget}") as legacy,
        httpx.AsyncClient(timeout=20) as http,
        http.stream(
            "POST",
            f"{served.url}/graphql",
            json={"query": document, "variables": widget.ids},
            headers={"accept": "text/event-stream"},
        ) as stream,
    ):
        await legacy.send(json.dumps({"type": "open"}))
        await legacy.recv()
        served.terminate()
        body = "".join([text async for text in stream.aiter_text()])
        # A `complete` event would tell the client that there is nothing to come back for.
        assert "complete" not in body
        with suppress(ConnectionClosed):
            async for _ in legacy:
                pass  # what was sent before the close
        assert legacy.close_code == 1012
        assert await asyncio.to_thread(served.wait) == 0


async def test_a_killed_process_loses_nothing_it_has_acknowledged(
    serve: Callable[..., Served],
) -> None:
    widget = Widget.new()
    served = serve()
    acknowledged: list[str] = []
    flowing = asyncio.Event()

    async def publish(socket: GraphQLSocket) -> None:
        while True:
            acknowledged.append((await widget.publish(socket, "x" * 1000))["id"])
            if len(acknowledged) == 200:
                flowing.set()

    sockets = [GraphQLSocket(served) for _ in range(8)]
    for socket in sockets:
        await socket.__aenter__()
    publishing = [asyncio.create_task(publish(socket)) for socket in sockets]
    await flowing.wait()
    await asyncio.to_thread(served.kill)
    for task in publishing:
        with pytest.raises(Disconnected):
            await task
    for socket in sockets:
        await socket.__aexit__()
    async with GraphQLSocket(serve()) as socket:
        stored = [message["id"] for message in await widget.stored(socket)]
    assert set(acknowledged) <= set(stored)
    assert len(stored) <= len(acknowledged) + 8, "at most one of each client was on its way"
