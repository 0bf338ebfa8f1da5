"""Searches that are too much are refused with what would help, on every transport."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import pytest

from tests.acceptance.graphql_socket import GraphQLSocket
from tests.acceptance.widget import Widget
from tests.served import Served
from tests.transports.legacy.served import Client

pytestmark = pytest.mark.anyio

GROUPS = (
    "query ($p: ID!, $w: ID!) "
    '{ messages(projectId: $p, widgetId: $w, query: {groupBy: "data"}) { groups { count } } }'
)
PAGE = "query ($p: ID!, $w: ID!) { messages(projectId: $p, widgetId: $w) { messages { data } } }"


async def answer(http: httpx.AsyncClient, document: str, widget: Widget) -> Any:
    """Return the result, or the error, of a query over HTTP."""
    variables = {"p": widget.project, "w": widget.widget}
    response = await http.post("/graphql", json={"query": document, "variables": variables})
    body = response.json()
    return body["errors"][0] if "errors" in body else body["data"]["messages"]


async def test_a_search_that_would_read_too_much_is_refused_and_other_ones_are_not(
    serve: Callable[..., Served], database_url: str
) -> None:
    served = serve(WIDGETWIRE_SEARCH_MAX_SCAN="9000")
    widget = Widget.new()
    database = await asyncpg.connect(database_url)
    await database.execute(
        "INSERT INTO channels (channel, head) VALUES ($1, 9998)",
        f"{widget.project}/{widget.widget}",
    )
    await database.close()
    async with GraphQLSocket(served) as socket:
        for number in range(3):
            await widget.publish(socket, number)
    said = "this search would read 10001 messages, at most 9000 are allowed; narrow it by created"
    async with httpx.AsyncClient(base_url=served.url, timeout=20) as http:
        error = await answer(http, GROUPS, widget)
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}
        assert error["message"].startswith(said)
        assert await answer(http, PAGE, widget) == {"messages": [{"data": n} for n in range(3)]}
    legacy = f"{served.url.replace('http', 'ws')}/c8/{widget.project}/{widget.widget}"
    async with Client(legacy, {}) as client:
        await client.open()
        await client.send(type="search", ref=1, query={"groupBy": "data"})
        frame = await client.next("error", ref=1)
        assert frame["code"] == "BAD_USER_INPUT"
        assert frame["message"].startswith(said)
        await client.send(type="search", ref=2, query={})
        assert (await client.next("result", ref=2))["totalRecords"] == 3  # all fit the page


async def test_more_searches_than_may_wait_are_told_when_to_come_back(
    serve: Callable[..., Served], database_url: str
) -> None:
    served = serve(WIDGETWIRE_SEARCH_WAIT_SECONDS="0.1", WIDGETWIRE_QUICK_SEARCH_POOL_SIZE="1")
    widget = Widget.new()
    legacy = f"{served.url.replace('http', 'ws')}/c8/{widget.project}/{widget.widget}"
    blocker = await asyncpg.connect(database_url)
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=20) as http,
        Client(legacy, {}) as client,
    ):
        await client.open()
        assert await answer(http, PAGE, widget) == {"messages": []}
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE messages")
            # One runs until the lock is gone.
            running = asyncio.create_task(answer(http, PAGE, widget))
            async with asyncio.timeout(10):
                while not await blocker.fetchval(  # noqa: ASYNC110  Postgres tells nobody
                    "SELECT 1 FROM pg_locks WHERE NOT granted"
                ):
                    await asyncio.sleep(0.005)
            # Others than the one that runs: equal ones would share its read.
            await client.send(type="search", ref="late", query={"limit": 1})
            other = PAGE.replace("widgetId: $w)", "widgetId: $w, query: {limit: 2})")
            frame, error = await asyncio.gather(
                client.next("error", ref="late"), answer(http, other, widget)
            )
        assert await running == {"messages": []}
    await blocker.close()
    assert (frame["code"], error["extensions"]["code"]) == ("UNAVAILABLE", "UNAVAILABLE")
    for text, retry_after_ms in (
        (frame["message"], frame["retryAfterMs"]),
        (error["message"], error["extensions"]["retryAfterMs"]),
    ):
        assert text.startswith("too many searches: ")
        assert f"retry after {retry_after_ms} ms" in text
        assert 250 <= retry_after_ms <= 60_000
