"""Filters of subscriptions are bounded in values and in memory, on every transport."""

import time
from typing import Any

import httpx
import pytest

from tests.acceptance.graphql_socket import GraphQLSocket, Refused, Subscription
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = pytest.mark.anyio

MESSAGES = (
    "subscription ($p: ID!, $w: ID!, $f: [MessageFilter!]!) "
    "{ messages(projectId: $p, widgetId: $w, filters: $f) { data } }"
)
LIVE = (
    "subscription ($p: ID!, $w: ID!, $f: [MessageFilter!]!) "
    "{ liveMessages(projectId: $p, widgetId: $w, query: {filters: $f}) { totalCount } }"
)
SEARCH = (
    "query ($p: ID!, $w: ID!, $f: [MessageFilter!]!) "
    "{ messages(projectId: $p, widgetId: $w, query: {filters: $f}) { totalCount } }"
)


def lists(number: int, first: int = 0) -> list[dict[str, Any]]:
    """Lists of 1,000 numbers, no two alike."""
    return [
        {
            "field": "data",
            "operator": "NOT_IN",
            "value": list(range(first + n * 1_000, first + (n + 1) * 1_000)),
        }
        for n in range(number)
    ]


async def refusal(subscription: Subscription) -> str | None:
    """Return the code that a subscription to an empty channel was refused with."""
    if subscription.nothing_waits():
        return None
    try:
        await subscription.next()
    except Refused as refused:
        return refused.code
    return None


@pytest.mark.parametrize("document", [MESSAGES, LIVE, SEARCH])
async def test_three_lists_of_a_thousand_numbers_are_refused(
    pair: tuple[Served, Served], document: str
) -> None:
    """A hundred were allowed: thirty such subscriptions took 1.7 GiB, each publish 0.9 s."""
    widget = Widget.new()
    variables = {"p": widget.project, "w": widget.widget, "f": lists(3)}
    said = "filters[2].value raises the number of filter values to at least 3000"
    async with GraphQLSocket(pair[0]) as socket:
        with pytest.raises(Refused) as refused:
            await socket.execute(document, **variables)
        assert refused.value.code == "BAD_USER_INPUT"
        assert said in refused.value.errors[0]["message"]
    accept = "application/json" if document is SEARCH else "text/event-stream"
    async with httpx.AsyncClient(base_url=pair[0].url, timeout=20) as http:
        response = await http.post(
            "/graphql",
            json={"query": document, "variables": variables},
            headers={"accept": accept},
        )
    assert said in response.text
    assert "BAD_USER_INPUT" in response.text


@pytest.mark.parametrize("document", [MESSAGES, LIVE])
async def test_a_socket_gets_so_many_filters_and_publishing_stays_quick(
    pair: tuple[Served, Served], document: str
) -> None:
    widget = Widget.new()
    place = {"p": widget.project, "w": widget.widget}
    async with GraphQLSocket(pair[0]) as socket, GraphQLSocket(pair[0]) as other:
        begun: list[Subscription] = []
        code = None
        while code is None and len(begun) < 40:
            filters = lists(2, (len(begun) + 1) * 10**10)
            begun.append(await socket.subscribe(document, **place, f=filters))
            code = await refusal(begun[-1])
        assert code == "RATE_LIMITED"
        assert 8 < len(begun) < 20
        # Another socket is not concerned, and one that has ended makes room for another.
        assert await refusal(await other.subscribe(document, **place, f=lists(2, 10**12))) is None
        await begun[0].complete()
        again = await socket.subscribe(document, **place, f=lists(2, 10**13))
        assert await refusal(again) is None
        started = time.monotonic()
        for data in range(20):
            await widget.publish(other, data)
        assert time.monotonic() - started < 5
