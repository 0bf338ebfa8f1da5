"""A client that is acknowledged by one process and resumes with another at once."""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeAlias

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.acceptance.graphql_socket import PATIENCE_SECONDS, GraphQLSocket
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

RESUMES: Final = int(os.environ.get("RESUMES", "200"))
"""Through each door: `RESUMES=1000 pytest tests/acceptance/test_resuming_elsewhere.py`."""

Ids: TypeAlias = AsyncIterator[str]
Door: TypeAlias = Callable[[Served, Widget, str, int], AbstractAsyncContextManager[Ids]]
"""Resumes after a message, given by its id and its place, and yields the ids that come."""


@asynccontextmanager
async def graphql(
    served: Served, widget: Widget, after: str, _place: int, *, last: int | None = None
) -> AsyncIterator[Ids]:
    async with GraphQLSocket(served) as socket:
        subscription = await widget.subscribe(socket, after=after, last=last)

        async def ids() -> AsyncIterator[str]:
            while True:
                yield (await subscription.next())["id"]

        yield ids()


@asynccontextmanager
async def graphql_last(
    served: Served, widget: Widget, after: str, place: int
) -> AsyncIterator[Ids]:
    async with graphql(served, widget, after, place, last=5) as ids:
        yield ids


@asynccontextmanager
async def event_stream(
    served: Served, widget: Widget, after: str, _place: int
) -> AsyncIterator[Ids]:
    document = """subscription ($project: ID!, $widget: ID!, $after: ID) {
      messages(projectId: $project, widgetId: $widget, after: $after) { id }
    }"""
    async with (
        httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=False) as client,
        client.stream(
            "POST",
            f"{served.url}/graphql",
            json={"query": document, "variables": {**widget.ids, "after": after}},
            headers={"accept": "text/event-stream"},
        ) as response,
    ):

        async def ids() -> AsyncIterator[str]:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line[6:])["data"]["messages"]["id"]

        yield ids()


@asynccontextmanager
async def legacy(served: Served, widget: Widget, after: str, _place: int) -> AsyncIterator[Ids]:
    url = f"{served.ws_url}/c8/{widget.project}/{widget.widget}"
    async with connect(url, compression=None, open_timeout=PATIENCE_SECONDS) as socket:
        await socket.send(json.dumps({"type": "open", "after": after}))

        async def ids() -> AsyncIterator[str]:
            async for text in socket:
                frame = json.loads(text)
                assert frame["type"] in ("open", "activeConnections", "policy", "message"), frame
                if frame["type"] == "message":
                    yield frame["message"]["id"]

        yield ids()


@asynccontextmanager
async def legacy_place(
    served: Served, widget: Widget, _after: str, place: int
) -> AsyncIterator[Ids]:
    async with legacy(served, widget, f"@{place}", place) as ids:
        yield ids


@pytest.mark.parametrize("door", [graphql, graphql_last, event_stream, legacy, legacy_place])
async def test_resuming_elsewhere_right_after_the_acknowledgement_repeats_nothing(
    pair: tuple[Served, Served], door: Door
) -> None:
    """2 to 8 of 400 were delivered again: the other process had not yet heard of the message.

    Its subscription was settled, and given to a group, while the feed was behind the cursor.
    """
    here, elsewhere = pair
    widget = Widget.new()
    repeated = 0
    async with GraphQLSocket(here) as publisher, GraphQLSocket(elsewhere) as watcher:
        # Somebody listens there all the time: the channel's feed is open, and lives on events.
        watching = await widget.subscribe(watcher)
        place = 0
        for _ in range(RESUMES):
            acknowledged = (await widget.publish(publisher, "before"))["id"]
            place += 1
            async with door(elsewhere, widget, acknowledged, place) as ids:
                following = (await widget.publish(publisher, "after"))["id"]
                place += 1
                came = await anext(ids)
                if came == acknowledged:
                    repeated += 1
                    came = await anext(ids)
                assert came == following
        assert len({one["id"] for one in await watching.take(place)}) == place
    assert repeated == 0
