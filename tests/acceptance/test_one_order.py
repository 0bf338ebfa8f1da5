"""Guarantees 1 to 3: one order, seen by all, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import asyncpg
import pytest

from app.embedded.postgres import EmbeddedPostgres
from tests.acceptance.counted_subscriber import CountedSubscriber
from tests.acceptance.graphql_socket import GraphQLSocket
from tests.acceptance.widget import Widget
from tests.postgres_faults import cut_listeners
from tests.served import Served

pytestmark = pytest.mark.anyio

Pair = tuple[Served, Served]

SUBSCRIBE = """
    subscription ($project: ID!, $widget: ID!, $after: ID) {
      messages(projectId: $project, widgetId: $widget, after: $after) { id }
    }
"""


@asynccontextmanager
async def subscribers(pair: Pair, widget: Widget, each: int) -> AsyncIterator[list[list[str]]]:
    """Subscribe with both processes from a first message on; at the end all must agree.

    Yields a list; whoever uses it appends the ids that must have come, in order.
    """
    async with GraphQLSocket(pair[0]) as socket:
        # With a cursor it does not matter when a subscription joins.
        after = (await widget.publish(socket, "first"))["id"]
        members = [
            await CountedSubscriber.connect(served, SUBSCRIBE, {**widget.ids, "after": after})
            for served in pair
            for _ in range(each)
        ]
        expected: list[list[str]] = []
        yield expected
        (ids,) = expected
        # Nothing may come after the last one, a repeat neither.
        end = (await widget.publish(socket, "end"))["id"]
        async with asyncio.timeout(30):
            for member in members:
                assert await member.received(len(ids) + 1) == [*ids, end]
        for member in members:
            member.close()


@asynccontextmanager
async def publishers(pair: Pair, number: int) -> AsyncIterator[list[GraphQLSocket]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(GraphQLSocket(pair[each % 2])) for each in range(number)
        ]


async def stored_ids(served: Served, widget: Widget) -> list[str]:
    """Return what a search by publish order finds, without the first and marker messages."""
    async with GraphQLSocket(served) as socket:
        return [message["id"] for message in (await widget.stored(socket))[1:]]


async def test_thousands_of_publishes_from_sixteen_clients_have_one_order(pair: Pair) -> None:
    widget = Widget.new()
    async with subscribers(pair, widget, 10) as expected, publishers(pair, 16) as clients:

        async def publish(client: int) -> list[str]:
            socket = clients[client]
            return [
                (await widget.publish(socket, {"client": client, "number": number}))["id"]
                for number in range(250)
            ]

        acknowledged = await asyncio.gather(*map(publish, range(16)))
        ids = await stored_ids(pair[0], widget)
        assert len(ids) == 4_000
        place = {message_id: index for index, message_id in enumerate(ids)}
        for own in acknowledged:
            # Each client's own order is kept: it waited for each acknowledgement.
            places = [place[message_id] for message_id in own]
            assert places == sorted(places)
        assert set(place) == {message_id for own in acknowledged for message_id in own}
        expected.append(ids)


async def fetch(url: str, sql: str, *parameters: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql, *parameters)
    finally:
        await connection.close()


async def sequences_of(database_url: str, widget: Widget) -> list[int]:
    rows = await fetch(
        database_url,
        "SELECT sequence FROM messages WHERE channel = $1 ORDER BY sequence",
        f"{widget.project}/{widget.widget}",
    )
    return [row["sequence"] for row in rows]


async def test_the_listener_is_terminated_again_and_again(
    serve: Callable[..., Served], database_url: str
) -> None:
    """NOTIFY keeps nothing for a listener that is away: what it missed is in the table."""
    widget = Widget.new()
    pair = serve(), serve()
    terminated = 0
    async with subscribers(pair, widget, 3) as expected, publishers(pair, 4) as clients:
        publishing = asyncio.gather(*(publish_steadily(widget, client, 150) for client in clients))
        while not publishing.done():
            terminated += await cut_listeners(database_url)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(publishing), 0.3)
        await publishing
        expected.append(await stored_ids(pair[0], widget))
    assert terminated >= 4
    assert await sequences_of(database_url, widget) == list(range(1, 603))


async def test_the_database_restarts_under_load(
    serve: Callable[..., Served], postgres: EmbeddedPostgres, database_url: str
) -> None:
    """`-m immediate`: every connection is cut, and the database recovers from its log."""
    widget = Widget.new()
    pair = serve(), serve()
    async with subscribers(pair, widget, 3) as expected, publishers(pair, 8) as clients:
        publishing = [
            asyncio.create_task(publish_steadily(widget, client, 200)) for client in clients
        ]
        for _ in range(2):
            await asyncio.sleep(0.7)  # amid the stream, wherever that is
            assert not all(task.done() for task in publishing)
            await asyncio.to_thread(postgres.restart, "immediate")
        acknowledged = [ids for task in publishing for ids in await task]
        stored = await stored_ids(pair[1], widget)
        # Each was acknowledged once, retries included, so what is stored is exactly that.
        assert len(acknowledged) == len(set(acknowledged)) == 1_600
        assert set(stored) == set(acknowledged)
        expected.append(stored)
    assert len(stored) == 1_600
    assert await sequences_of(database_url, widget) == list(range(1, 1_603))


async def publish_steadily(widget: Widget, socket: GraphQLSocket, number: int) -> list[str]:
    """Publish one after another, retried while the database is away, and return the ids."""
    ids = []
    for each in range(number):
        ids.append((await widget.publish_persistently(socket, each))["id"])
        await asyncio.sleep(0.01)  # a stream, not a burst: what goes wrong hits its middle
    return ids
