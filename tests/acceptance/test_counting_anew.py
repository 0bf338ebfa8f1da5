"""A channel whose rows somebody deletes by hand, counter and all, under its subscribers."""

from collections.abc import Callable

import pytest

from app.storage.database import Database
from tests.acceptance.graphql_socket import GraphQLSocket
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("size", [1, 10_000], ids=["small", "too large to come with events"])
async def test_subscribers_of_all_processes_get_what_is_published_after_a_deletion_by_hand(
    serve: Callable[..., Served], database: Database, size: int
) -> None:
    """They missed as many messages as there had been before, and nothing was logged."""
    pair = [serve() for _ in range(2)]
    widget = Widget.new()
    async with GraphQLSocket(pair[0]) as first, GraphQLSocket(pair[1]) as second:
        for number in range(3):
            await widget.publish(first, number)
        heard = [await widget.subscribe(socket) for socket in (first, second)]
        await widget.publish(first, 3)
        for subscription in heard:
            assert (await subscription.next())["data"] == 3
        await database.fetch("DELETE FROM messages")
        await database.fetch("DELETE FROM channels")
        datas = [f"{number}" * size for number in range(10)]
        published = [await widget.publish(first, data) for data in datas]
        expected = [message["id"] for message in published]
        for subscription in heard:
            assert [message["id"] for message in await subscription.take(10)] == expected
            assert subscription.nothing_waits()
        resumed = await widget.subscribe(second, after=expected[4])
        assert [message["id"] for message in await resumed.take(5)] == expected[5:]
    for served in pair:
        served.wait_for_output("restarts its message numbers")
