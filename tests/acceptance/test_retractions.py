"""Messages are taken back and replaced: every view of the channel follows, in two processes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.acceptance.graphql_socket import (
    PATIENCE_SECONDS,
    GraphQLSocket,
    Refused,
    Subscription,
)
from tests.acceptance.tokens import token
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = pytest.mark.anyio


@dataclass
class Room:
    """A channel, and who is in it: two speakers on one process, a moderator on the other."""

    widget: Widget
    ann: GraphQLSocket
    bob: GraphQLSocket
    moderator: GraphQLSocket


@pytest.fixture
async def room(pair: tuple[Served, Served]) -> AsyncIterator[Room]:
    first, second = pair
    async with AsyncExitStack() as stack:
        ann, bob, moderator = [
            await stack.enter_async_context(GraphQLSocket(served, {"authToken": proof}))
            for served, proof in (
                (first, token("ann")),
                (first, token("bob")),
                (second, token("mia", "publish", "subscribe", "search", "moderate")),
            )
        ]
        yield Room(Widget.new(), ann, bob, moderator)


async def _next(events: Subscription) -> dict[str, Any]:
    event = await events.next()
    return dict(event)


async def _until(events: Subscription, **wanted: Any) -> dict[str, Any]:
    """Return the first event that has what is wanted."""
    while True:
        event = await _next(events)
        if wanted.items() <= event.items():
            return event


async def test_a_retraction_reaches_every_view(room: Room) -> None:
    widget = room.widget
    kept, rude = [await widget.publish(room.ann, data) for data in ("hello", "rude")]
    assert (kept["verified"], kept["held"]) == (True, False)
    events = [await widget.events(socket) for socket in (room.bob, room.moderator)]
    plain = await widget.subscribe(room.bob, last=1)
    assert (await plain.next())["id"] == rude["id"]
    results = [
        await widget.live(socket, limit=5, filters=[]) for socket in (room.bob, room.moderator)
    ]
    for result in results:
        assert (await result.next())["totalCount"] == 2
    for one in events:
        assert await _next(one) == {"kind": "CaughtUp", "upTo": rude["id"]}

    assert await widget.retract(room.moderator, rude["id"], reason="be kind") == 1

    # At once, wherever it is asked for.
    for socket in (room.ann, room.moderator):
        assert [one["id"] for one in await widget.stored(socket)] == [kept["id"]]
    retracted = [await _next(one) for one in events]
    assert retracted[0] == retracted[1]
    cursor = retracted[0].pop("cursor")
    assert retracted[0] == {"kind": "MessagesRetracted", "ids": [rude["id"]], "reason": "be kind"}
    for result in results:
        assert (await result.next())["totalCount"] == 1
    # Both are cursors. Whoever resumes from before both hears of neither.
    said = await widget.publish(room.bob, "bye")
    assert (await plain.next())["id"] == said["id"]
    for after in (rude["id"], cursor):
        resumed = await widget.subscribe(room.moderator, after=after)
        assert (await resumed.next())["id"] == said["id"]
    resumed = await widget.subscribe(room.ann, after=kept["id"])
    assert (await resumed.next())["id"] == said["id"]
    resumed = await widget.events(room.ann, after=rude["id"])
    assert (await _next(resumed))["cursor"] == cursor
    assert (await _next(resumed))["message"]["id"] == said["id"]
    assert await _next(resumed) == {"kind": "CaughtUp", "upTo": said["id"]}
    # Once more counts nothing.
    assert await widget.retract(room.moderator, rude["id"]) == 0


async def test_one_retracts_what_is_ones_own(room: Room) -> None:
    widget = room.widget
    own, other = await widget.publish(room.ann, 1), await widget.publish(room.bob, 2)
    with pytest.raises(Refused, match="another publisher published") as refused:
        await widget.retract(room.ann, own["id"], other["id"])
    assert refused.value.code == "FORBIDDEN"
    assert len(await widget.stored(room.ann)) == 2
    assert await widget.retract(room.ann, own["id"], own["id"], str(uuid4())) == 1
    for ids in ([], ["not an id"], [str(uuid4()) for _ in range(1_001)]):
        with pytest.raises(Refused) as refused:
            await widget.retract(room.ann, *ids)
        assert refused.value.code == "BAD_USER_INPUT"
    with pytest.raises(Refused, match="reason") as refused:
        await widget.retract(room.ann, own["id"], reason="x" * 501)
    assert refused.value.code == "BAD_USER_INPUT"


async def test_a_vote_is_counted_once_and_can_be_changed(room: Room) -> None:
    widget = room.widget
    events = await widget.events(room.moderator)
    assert await _next(events) == {"kind": "CaughtUp", "upTo": None}

    async def vote(socket: GraphQLSocket, choice: str) -> str:
        message = await widget.publish(socket, choice, id="vote", on_repeat="REPLACE")
        return str(message["id"])

    first, others = await vote(room.ann, "yes"), await vote(room.bob, "no")
    second = await vote(room.ann, "no")
    assert [(one["id"], one["data"]) for one in await widget.stored(room.moderator)] == [
        (others, "no"),
        (second, "no"),
    ]
    kinds = [await _next(events) for _ in range(4)]
    assert [one["kind"] for one in kinds] == [
        "MessagePublished",
        "MessagePublished",
        "MessagesRetracted",
        "MessagePublished",
    ]
    assert kinds[2]["ids"] == [first]
    assert kinds[3]["message"] == {"id": second, "data": "no"}
    # Kept, the message that is there is the answer.
    assert (await widget.publish(room.ann, "maybe", id="vote"))["id"] == second
    # A moderator's retraction spends the key.
    assert await widget.retract(room.moderator, second) == 1
    for on_repeat in ("REPLACE", "KEEP"):
        with pytest.raises(Refused, match="retracted by a moderator") as refused:
            await widget.publish(room.ann, "yes", id="vote", on_repeat=on_repeat)
        assert refused.value.code == "REJECTED"
    with pytest.raises(Refused) as refused:
        await widget.publish(room.bob, 1, id="vote", on_repeat="REPLACE", persistent=False)
    assert refused.value.code == "BAD_USER_INPUT"


async def test_filters_choose_messages_and_not_retractions(room: Room) -> None:
    widget = room.widget
    filters = [{"field": "data.n", "operator": "GT", "value": 1}]
    events = await widget.events(room.moderator, filters)
    assert (await _next(events))["kind"] == "CaughtUp"
    small = await widget.publish(room.ann, {"n": 1})
    large = await widget.publish(room.ann, {"n": 2})
    await widget.retract(room.ann, small["id"])
    assert (await _next(events))["message"]["id"] == large["id"]
    assert (await _next(events))["ids"] == [small["id"]]


async def test_what_is_not_stored_has_no_place_among_the_events(room: Room) -> None:
    widget = room.widget
    stored = await widget.publish(room.ann, 1)
    events = await widget.events(room.moderator, last=5)
    assert (await _next(events))["cursor"] == stored["id"]
    assert await _next(events) == {"kind": "CaughtUp", "upTo": stored["id"]}
    await widget.publish(room.ann, 2, persistent=False)
    assert (await _next(events))["message"]["data"] == 2


async def test_an_event_stream_resumes_by_the_id_of_its_last_event(
    pair: tuple[Served, Served], room: Room
) -> None:
    widget = room.widget
    first, second = [await widget.publish(room.ann, n) for n in (1, 2)]
    await widget.retract(room.ann, first["id"])
    events = """subscription ($project: ID!, $widget: ID!) {
      channelEvents(projectId: $project, widgetId: $widget, last: 5) { __typename }
    }"""
    messages = """subscription ($project: ID!, $widget: ID!) {
      messages(projectId: $project, widgetId: $widget, last: 5) { data }
    }"""

    async def stream(document: str, lines: int, last_event_id: str | None = None) -> list[str]:
        """Return the first lines of a stream that say something."""
        headers = {"accept": "text/event-stream"}
        if last_event_id is not None:
            headers["last-event-id"] = last_event_id
        body = {"query": document, "variables": widget.ids}
        async with (
            httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client,
            client.stream("POST", f"{pair[1].url}/graphql", json=body, headers=headers) as answer,
        ):
            found = []
            async for line in answer.aiter_lines():
                if line not in ("", ":", "event: next"):
                    found.append(line)
                if len(found) == lines:
                    return found
        raise AssertionError(found)

    (_, published, at, retracted, caught_up, _) = await stream(events, 6)
    assert published == 'data: {"data":{"channelEvents":{"__typename":"MessagePublished"}}}'
    assert retracted == 'data: {"data":{"channelEvents":{"__typename":"MessagesRetracted"}}}'
    assert at == caught_up  # both are as far
    resumed = await stream(events, 2, at.removeprefix("id: "))
    assert resumed == [at, 'data: {"data":{"channelEvents":{"__typename":"CaughtUp"}}}']
    third = await widget.publish(room.ann, 3)
    said = ['data: {"data":{"messages":{"data":3}}}']
    assert await stream(messages, 2, second["id"]) == [f"id: {third['id']}", *said]
    refused = await stream(messages, 1, str(uuid4()))
    assert "UNKNOWN_CURSOR" in refused[0]
