"""A new version takes the port over while clients go on: nobody is refused, nothing is lost."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.acceptance.graphql_socket import Disconnected, GraphQLSocket
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = pytest.mark.anyio

PUBLISH = """
  mutation ($project: ID!, $widget: ID!, $data: JSON!) {
    publish(projectId: $project, widgetId: $widget, data: $data) { id }
  }
"""


class Publisher:
    """Publishes one message after another; anything but an acknowledgement fails it.

    Args:
        served: by what serves first on the port.
        widget: where.
        kept: over one connection, for as long as the server keeps it; else one for each message.
    """

    def __init__(self, served: Served, widget: Widget, *, kept: bool) -> None:
        self._url = f"{served.url}/graphql"
        self._widget = widget
        self._kept = kept
        self.acknowledged: list[str] = []

    async def run(self, until: asyncio.Event) -> None:
        """Publish until it is told to stop."""
        limits = httpx.Limits(max_keepalive_connections=int(self._kept))
        async with httpx.AsyncClient(limits=limits, timeout=30) as http:
            while not until.is_set():
                variables = {**self._widget.ids, "data": len(self.acknowledged)}
                answer = await http.post(self._url, json={"query": PUBLISH, "variables": variables})
                self.acknowledged.append(answer.json()["data"]["publish"]["id"])
                await asyncio.sleep(0.02)  # The services that start need the processor too.


async def listen(served: Served, widget: Widget, heard: list[str], ready: asyncio.Event) -> None:
    """Hear every message, over one socket after another; a refused one fails it."""
    while True:
        try:
            async with GraphQLSocket(served) as socket:
                subscription = await widget.subscribe(socket, after=heard[-1] if heard else None)
                ready.set()
                while True:
                    heard.append((await subscription.next())["id"])
        except (Disconnected, ConnectionClosed) as closed:
            if "1012" not in str(closed):
                raise


async def test_three_takeovers_refuse_nobody_and_lose_nothing(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    """From one process to two and back, on the embedded database, which they share meanwhile."""
    widget = Widget.new()
    settings = {"WIDGETWIRE_DATA_DIR": str(tmp_path)}
    running = first = serve(database_url=None, **settings)
    heard: list[str] = []
    publishers = [Publisher(first, widget, kept=kept) for kept in (True, False)]
    enough, ready = asyncio.Event(), asyncio.Event()
    listening = asyncio.create_task(listen(first, widget, heard, ready))
    await ready.wait()
    publishing = [asyncio.create_task(one.run(enough)) for one in publishers]
    arguments = ("--takeover", "--port", str(httpx.URL(first.url).port))
    for workers in ("2", "1", "1"):
        after = await asyncio.to_thread(
            serve, *arguments, "--workers", workers, database_url=None, **settings
        )
        assert after.url == first.url
        assert await asyncio.to_thread(running.wait) == 0
        assert "took over the port from widgetwire" in after.output
        running = after
    enough.set()
    await asyncio.gather(*publishing)
    acknowledged = [one for publisher in publishers for one in publisher.acknowledged]
    async with GraphQLSocket(running) as socket:
        stored = [message["id"] for message in await widget.stored(socket)]
        assert sorted(stored) == sorted(acknowledged)
        end = await widget.publish(socket, "end")
    async with asyncio.timeout(20):
        while heard[-1:] != [end["id"]]:
            assert not listening.done(), listening.result()
            await asyncio.sleep(0.01)
    listening.cancel()
    assert heard == [*stored, end["id"]]
    assert all(len(one.acknowledged) > 10 for one in publishers)
