"""Two processes on one database are one service."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.acceptance.graphql_socket import GraphQLSocket, Refused
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = pytest.mark.anyio

Pair = tuple[Served, Served]
Sockets = tuple[GraphQLSocket, GraphQLSocket]


@pytest.fixture
async def sockets(pair: Pair) -> AsyncIterator[Sockets]:
    """A connection to each process."""
    async with GraphQLSocket(pair[0]) as first, GraphQLSocket(pair[1]) as second:
        yield first, second


async def test_each_sees_the_messages_of_both(sockets: Sockets) -> None:
    widget = Widget.new()
    heard = [await widget.subscribe(socket) for socket in sockets]
    for number in range(10):
        await widget.publish(sockets[number % 2], number)
    stored = await widget.stored(sockets[0])
    assert [message["data"] for message in stored] == list(range(10))
    for subscription in heard:
        assert [m["id"] for m in await subscription.take(10)] == [m["id"] for m in stored]
        assert subscription.nothing_waits()


async def test_a_message_that_is_not_stored_reaches_both_and_is_not_found(
    sockets: Sockets,
) -> None:
    widget = Widget.new()
    heard = [await widget.subscribe(socket) for socket in sockets]
    # Six times what one notification carries; characters of one to four bytes each.
    large = "aé€\U0001f600" * 6_000
    published = await widget.publish(sockets[0], large, persistent=False)
    assert published["persistent"] is False
    for subscription in heard:
        message = await subscription.next()
        assert message == {"id": published["id"], "data": large, "persistent": False}
    assert await widget.stored(sockets[0]) == []
    with pytest.raises(Refused, match="UNKNOWN_CURSOR"):
        await (await widget.subscribe(sockets[1], after=published["id"])).next()


async def test_large_stored_messages_reach_both_in_order(sockets: Sockets) -> None:
    widget = Widget.new()
    heard = [await widget.subscribe(socket) for socket in sockets]
    datas = [f"{number}" * (60_000 if number % 2 else 10) for number in range(10)]
    for number, data in enumerate(datas):
        await widget.publish(sockets[number % 2], data)
    for subscription in heard:
        assert [message["data"] for message in await subscription.take(10)] == datas


async def test_the_same_id_publishes_once_over_both(sockets: Sockets) -> None:
    widget = Widget.new()
    first = await widget.publish(sockets[0], "first", id="key", client_id="me")
    again = await widget.publish(sockets[1], "second", id="key", client_id="me")
    assert again == first
    other = await widget.publish(sockets[1], "other", id="key", client_id="somebody else")
    assert other["id"] != first["id"]
    assert [m["data"] for m in await widget.stored(sockets[0])] == ["first", "other"]


async def test_the_same_id_from_ten_clients_at_once_publishes_once(pair: Pair) -> None:
    widget = Widget.new()
    clients = [GraphQLSocket(pair[number % 2]) for number in range(10)]
    for client in clients:
        await client.__aenter__()
    heard = await widget.subscribe(clients[0])
    messages = await asyncio.gather(
        *(widget.publish(c, n, id="key", client_id="me") for n, c in enumerate(clients))
    )
    (stored,) = await widget.stored(clients[0])
    assert {message["id"] for message in messages} == {stored["id"]}
    assert {message["data"] for message in messages} == {stored["data"]}
    end = await widget.publish(clients[1], "end")
    assert [message["id"] for message in await heard.take(2)] == [stored["id"], end["id"]]
    for client in clients:
        await client.__aexit__()


async def test_an_id_without_a_client_id_is_found_by_the_retry(sockets: Sockets) -> None:
    widget = Widget.new()
    first = await widget.publish(sockets[0], 1, id="key")
    assert await widget.publish(sockets[1], 1, id="key") == first


async def test_resume_with_the_other_process_without_gap_or_repeat(sockets: Sockets) -> None:
    widget = Widget.new()
    published = [await widget.publish(sockets[0], number) for number in range(700)]
    resumed = await widget.subscribe(sockets[1], after=published[99]["id"])
    more = [await widget.publish(sockets[0], number) for number in range(700, 710)]
    expected = [message["id"] for message in (*published[100:], *more)]
    assert [message["id"] for message in await resumed.take(610)] == expected
    last = await widget.subscribe(sockets[1], last=3)
    assert [message["id"] for message in await last.take(3)] == expected[-3:]


@pytest.mark.parametrize("after", ["00000000-0000-7000-8000-000000000000", "gone", ""])
async def test_an_unknown_cursor_is_an_error(sockets: Sockets, after: str) -> None:
    with pytest.raises(Refused) as refused:
        await (await Widget.new().subscribe(sockets[0], after=after)).next()
    assert refused.value.code == "UNKNOWN_CURSOR"
    assert repr(after) in refused.value.errors[0]["message"]


async def test_a_cursor_of_another_channel_is_unknown(sockets: Sockets) -> None:
    elsewhere = await Widget.new().publish(sockets[0], 1)
    with pytest.raises(Refused, match="UNKNOWN_CURSOR"):
        await (await Widget.new().subscribe(sockets[0], after=elsewhere["id"])).next()


async def test_a_live_query_ends_with_the_final_result_right_after_a_burst(
    sockets: Sockets,
) -> None:
    widget = Widget.new()
    query = {"sortField": "data", "sortOrder": "DESC", "limit": 3}
    live = [await widget.live(socket, **query) for socket in sockets]
    for results in live:
        assert await results.next() == {"totalCount": 0, "messages": []}
    async with asyncio.timeout(20):
        await asyncio.gather(*(widget.publish(sockets[n % 2], n) for n in range(200)))
    top = [{"data": 199}, {"data": 198}, {"data": 197}]
    for results in live:
        told = await results.until({"totalCount": 200, "messages": top})
        # 250 ms apart, or more: far fewer than the messages.
        assert len(told) < 50
        counts = [result["totalCount"] for result in told]
        assert counts == sorted(counts)
        assert results.nothing_waits()


async def test_a_live_query_says_nothing_of_what_its_filters_refuse(sockets: Sockets) -> None:
    widget = Widget.new()
    wanted = {"field": "data", "operator": "EQ", "value": "wanted"}
    live = await widget.live(sockets[0], filters=[wanted])
    assert (await live.next())["totalCount"] == 0
    await widget.publish(sockets[1], "other")
    await widget.publish(sockets[1], "wanted")
    assert (await live.next())["totalCount"] == 1
    assert live.nothing_waits()


async def test_a_variable_may_stand_inside_a_literal(sockets: Sockets) -> None:
    """Validation has no values of variables; it once refused each that stood in a literal."""
    widget = Widget.new()
    document = """
        mutation ($project: ID!, $widget: ID!, $score: Int!, $fraction: JSON) {
          publish(projectId: $project, widgetId: $widget, data: {scores: [$score, $fraction]}) {
            data
          }
        }
    """
    published = await sockets[0].execute(document, **widget.ids, score=5, fraction=0.1)
    assert published == {"data": {"scores": [5, 0.1]}}
