"""Messages wait for a moderator: over two processes, on every wire, until they are approved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from tests.acceptance.conftest import SECRET
from tests.acceptance.graphql_socket import PATIENCE_SECONDS, GraphQLSocket, Refused, Subscription
from tests.acceptance.widget import Widget
from tests.served import Served
from tests.transports.legacy.served import Client

pytestmark = pytest.mark.anyio

_IDS = "projectId: $project, widgetId: $widget"
_FIELDS = "id clientId created data username persistent verified held"
_OF_WIDGET = "($project: ID!, $widget: ID!)"
_LIST = f"query {_OF_WIDGET} {{ heldMessages({_IDS}, limit: 1000) {{ {_FIELDS} }} }}"
_LISTEN = f"subscription {_OF_WIDGET} {{ heldMessages({_IDS}) {{ {_FIELDS} }} }}"
_APPROVE = f"mutation ($project: ID!, $widget: ID!, $ids: [ID!]!) {{ approve({_IDS}, ids: $ids) }}"
_REJECT = _APPROVE.replace("approve", "reject")
_SET = f"""
    mutation ($project: ID!, $widget: ID!, $hold: Hold!) {{
      setChannelPolicy({_IDS}, policy: {{hold: $hold}}) {{ hold }}
    }}
"""
_POLICY = f"query {_OF_WIDGET} {{ channelPolicy({_IDS}) {{ hold }} }}"
_MODERATOR = ("publish", "subscribe", "search", "moderate")


def token(subject: str, *permissions: str) -> str:
    claims: dict[str, Any] = {"sub": subject}
    if permissions:
        claims["permissions"] = [*permissions]
    return jwt.encode(claims, SECRET, "HS256")


@dataclass
class Room:
    """A channel that holds, and who is in it: on each process a speaker and a moderator."""

    widget: Widget
    ann: GraphQLSocket
    bob: GraphQLSocket
    mo: GraphQLSocket
    mia: GraphQLSocket

    async def listed(self, by: GraphQLSocket) -> list[dict[str, Any]]:
        return [*await by.execute(_LIST, **self.widget.ids)]

    async def decide(self, document: str, by: GraphQLSocket, *messages: dict[str, Any]) -> int:
        ids = [message["id"] for message in messages]
        return int(await by.execute(document, **self.widget.ids, ids=ids))

    async def set(self, hold: str) -> None:
        """Return when it holds in both processes."""
        await self.mo.execute(_SET, **self.widget.ids, hold=hold)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                policy = await self.mia.execute(_POLICY, **self.widget.ids)
                if policy["hold"] == hold:
                    return
                await asyncio.sleep(0.02)


@pytest.fixture
async def room(pair: tuple[Served, Served]) -> AsyncIterator[Room]:
    here, there = pair
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(GraphQLSocket(served, {"authToken": bearer}))
            for served, bearer in (
                (here, token("ann")),
                (there, token("bob")),
                (here, token("mo", *_MODERATOR)),
                (there, token("mia", *_MODERATOR)),
            )
        ]
        made = Room(Widget.new(), *sockets)
        await made.set("UNTIL_APPROVED")
        yield made


async def _ids(subscription: Subscription, number: int) -> list[str]:
    return [message["id"] for message in await subscription.take(number)]


async def test_a_message_is_seen_by_moderators_alone_until_it_is_approved(room: Room) -> None:
    widget = room.widget
    heard = [await widget.subscribe(by) for by in (room.ann, room.bob)]
    live = await widget.live(room.bob, limit=5)
    assert (await live.next())["totalCount"] == 0
    first = await widget.publish(room.ann, {"q": "why?"}, id="q", client_id="w1")
    assert (first["held"], first["persistent"], first["verified"]) == (True, True, True)
    waiting = [await by.subscribe(_LISTEN, **widget.ids) for by in (room.mo, room.mia)]
    second = await widget.publish(room.bob, "two")
    for one in waiting:
        assert await one.take(2) == [first, second]
    assert await room.listed(room.mo) == await room.listed(room.mia) == [first, second]
    # The same id again is the same message, from any process.
    assert await widget.publish(room.ann, "again", id="q", client_id="w1") == first
    assert await widget.stored(room.mia) == []

    assert await room.decide(_APPROVE, room.mia, second, first) == 2
    approved = [await one.take(2) for one in heard]
    assert approved[0] == approved[1]
    assert [one["id"] for one in approved[0]] == [second["id"], first["id"]]
    assert (await live.next())["totalCount"] == 2
    assert [one["id"] for one in await widget.stored(room.mo)] == [second["id"], first["id"]]
    assert await room.listed(room.mo) == []
    again = await widget.publish(room.ann, "again", id="q", client_id="w1")
    assert (again["id"], again["held"]) == (first["id"], False)
    assert again["created"] >= second["created"]
    third = await widget.publish(room.ann, "three")
    for one in waiting:
        assert await one.take(1) == [third]


async def test_what_is_rejected_or_withdrawn_is_never_seen(room: Room) -> None:
    widget = room.widget
    heard = await widget.subscribe(room.bob)
    rude, mine, fine = [await widget.publish(room.ann, text) for text in ("rude", "mine", "fine")]
    assert await room.decide(_REJECT, room.mo, rude, {"id": str(uuid4())}) == 1
    # Bob may not take back what is Ann's, and is not told that it is there.
    assert await widget.retract(room.bob, mine["id"]) == 0
    assert await widget.retract(room.ann, mine["id"]) == 1
    assert await room.listed(room.mia) == [fine]
    assert await room.decide(_APPROVE, room.mia, rude, mine, fine) == 1
    assert (await heard.next())["id"] == fine["id"]
    assert heard.nothing_waits()


async def test_a_vote_that_is_changed_waits_and_then_replaces(room: Room) -> None:
    widget = room.widget
    await room.set("NONE")
    yes = await widget.publish(room.ann, "yes", id="vote", on_repeat="REPLACE")
    await room.set("UNTIL_APPROVED")
    events = await widget.events(room.bob, last=1)
    assert [(await events.next())["kind"] for _ in range(2)] == ["MessagePublished", "CaughtUp"]
    no = await widget.publish(room.ann, "no", id="vote", on_repeat="REPLACE")
    maybe = await widget.publish(room.ann, "maybe", id="vote", on_repeat="REPLACE")
    assert await room.listed(room.mo) == [maybe]
    assert [one["data"] for one in await widget.stored(room.bob)] == ["yes"]
    # Whoever had seen the earlier one cannot approve the later one unseen.
    assert await room.decide(_APPROVE, room.mo, no) == 0
    assert await room.decide(_APPROVE, room.mo, maybe) == 1
    retracted, published = [await events.next() for _ in range(2)]
    assert retracted["ids"] == [yes["id"]]
    assert published["message"] == {"id": maybe["id"], "data": "maybe"}
    assert [one["data"] for one in await widget.stored(room.bob)] == ["maybe"]
    # A moderator takes it back: the key is spent.
    await widget.retract(room.mo, maybe["id"])
    with pytest.raises(Refused, match="the id cannot be used again") as refused:
        await widget.publish(room.ann, "yes", id="vote", on_repeat="REPLACE")
    assert refused.value.code == "REJECTED"


async def test_a_thousand_approved_by_two_come_in_one_order(room: Room) -> None:
    widget = room.widget
    heard = [await widget.subscribe(by) for by in (room.ann, room.bob)]
    held: list[dict[str, Any]] = []
    for first in range(0, 1_000, 50):
        held += await asyncio.gather(
            *(widget.publish(room.ann, n) for n in range(first, first + 50))
        )
    counts = await asyncio.gather(
        room.decide(_APPROVE, room.mo, *held), room.decide(_APPROVE, room.mia, *held[::-1])
    )
    assert sum(counts) == 1_000
    first_ids, second_ids = [await _ids(one, 1_000) for one in heard]
    assert first_ids == second_ids
    assert len({*first_ids}) == 1_000
    assert [one["id"] for one in await widget.stored(room.mo)] == first_ids
    assert await room.listed(room.mia) == []


async def test_nobody_but_moderators_may(room: Room) -> None:
    held = await room.widget.publish(room.ann, 1)
    for document in (_LIST, _LISTEN, _APPROVE, _REJECT):
        with pytest.raises(Refused) as refused:
            await room.ann.execute(document, **room.widget.ids, ids=[held["id"]])
        assert refused.value.code == "FORBIDDEN"
    for document in (_APPROVE, _REJECT):
        for ids in ([], ["no id"], [str(uuid4())] * 1_001):
            with pytest.raises(Refused, match=r"allowed: 1 to 1000|expected the id") as refused:
                await room.mo.execute(document, **room.widget.ids, ids=ids)
            assert refused.value.code == "BAD_USER_INPUT"
    for limit in (0, 1_001):
        document = _LIST.replace("1000", str(limit))
        with pytest.raises(Refused, match=f"limit is {limit}; allowed: 1 to 1000"):
            await room.mo.execute(document, **room.widget.ids)
    with pytest.raises(Refused, match="persistent is false") as refused:
        await room.widget.publish(room.ann, 1, persistent=False)
    assert refused.value.code == "REJECTED"
    assert await room.listed(room.mo) == [held]


async def test_legacy_widgets_are_answered_with_the_record(
    room: Room, pair: tuple[Served, Served]
) -> None:
    widget = room.widget
    path = f"/c8/{widget.project}/{widget.widget}"
    async with Client(pair[0].ws_url + path, {}) as mine, Client(pair[1].ws_url + path, {}) as his:
        await mine.open(client_id="me", persistent=True)
        await his.open(persistent=True)
        record = await mine.publish({"q": 1}, id="k")
        assert record.keys() == {"id", "client_id", "created", "data", "username"}
        assert await mine.publish({"q": 2}, id="k") == record
        (held,) = await room.listed(room.mia)
        assert (held["id"], held["clientId"], held["verified"]) == (record["id"], "me", False)
        assert await room.decide(_APPROVE, room.mia, held) == 1
        for each in (mine, his):
            message = (await each.next("message"))["message"]
            assert message == record | {"created": message["created"]}


async def test_over_http_nothing_is_kept_of_a_list(room: Room, pair: tuple[Served, Served]) -> None:
    headers = {"Authorization": f"Bearer {token('mo', *_MODERATOR)}"}
    fields = "{ id held persistent created data }"
    publish = f"mutation ($project: ID!, $widget: ID!) {{ publish({_IDS}, data: 1) {fields} }}"
    listing = f"query {_OF_WIDGET} {{ heldMessages({_IDS}) {fields} }}"
    async with httpx.AsyncClient(base_url=pair[0].url, headers=headers) as http:
        asked = {"query": listing, "variables": room.widget.ids}
        parameters = {"query": listing, "variables": httpx.Response(200, json=room.widget.ids).text}
        tags = set()
        messages: list[dict[str, Any]] = []
        for _ in range(2):
            assert (await http.post("/graphql", json=asked)).json() == {
                "data": {"heldMessages": messages}
            }
            got = await http.get("/graphql", params=parameters)
            assert got.json() == {"data": {"heldMessages": messages}}
            assert got.headers["cache-control"] == "private, no-cache"
            tags.add(got.headers["etag"])
            body = {"query": publish, "variables": room.widget.ids}
            message = (await http.post("/graphql", json=body)).json()["data"]["publish"]
            assert (message["held"], message["persistent"]) == (True, True)
            messages.append(message)
        assert len(tags) == 2
        # An event stream has them as a socket has.
        listening = {"query": _LISTEN, "variables": room.widget.ids}
        accept = {"Accept": "text/event-stream"}
        async with http.stream("POST", "/graphql", json=listening, headers=accept) as stream:
            lines = (line async for line in stream.aiter_lines() if line.startswith("data:"))
            for message in messages:
                assert message["id"] in await anext(lines)
        # The same question by somebody who may not, and by nobody.
        for other in ({"Authorization": f"Bearer {token('ann')}"}, {"Authorization": ""}):
            answer = (await http.post("/graphql", json=asked, headers=other)).json()
            assert answer["errors"][0]["extensions"]["code"] in ("FORBIDDEN", "UNAUTHENTICATED")
            assert answer.get("data") is None
