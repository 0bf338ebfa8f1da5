"""Bans over two processes: what each mode takes away, on whatever somebody comes by."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from graphql import build_schema as parsed_schema

from tests.acceptance.conftest import SECRET
from tests.acceptance.graphql_socket import PATIENCE_SECONDS, GraphQLSocket, Refused, Subscription
from tests.acceptance.widget import Widget
from tests.served import Served
from tests.test_mirrored import ROOT
from tests.transports.legacy.served import Client

pytestmark = pytest.mark.anyio

Pair = tuple[Served, Served]

_IDS = "projectId: $project, widgetId: $widget"
_SUBSCRIPTIONS = {
    "messages": f"messages({_IDS}) {{ data }}",
    "channelEvents": f"channelEvents({_IDS}) {{ __typename }}",
    "liveMessages": f"liveMessages({_IDS}) {{ totalCount }}",
    "connectionCount": f"connectionCount({_IDS}) {{ count }}",
    "heldMessages": f"heldMessages({_IDS}) {{ data }}",
}
"""One of each: whoever adds another way to listen has to see that a ban ends it."""
_EVENTS = f"""
    subscription ($project: ID!, $widget: ID!, $after: ID) {{
      channelEvents({_IDS}, after: $after) {{
        ... on MessagePublished {{ cursor message {{ data verified }} }}
        ... on MessagesRetracted {{ ids reason }}
        ... on CaughtUp {{ __typename }}
      }}
    }}
"""
_PUBLISH = f"""
    mutation ($project: ID!, $widget: ID!, $data: JSON!, $id: ID, $onRepeat: OnRepeat!,
              $persistent: Boolean!) {{
      publish({_IDS}, data: $data, id: $id, onRepeat: $onRepeat, persistent: $persistent) {{
        id clientId created data username persistent verified held
      }}
    }}
"""
_RETRACT = f"""
    mutation ($project: ID!, $widget: ID!, $ids: [ID!]!) {{ retract({_IDS}, ids: $ids) }}
"""
_BAN = """
    mutation ($project: ID!, $input: BanInput!) {
      ban(projectId: $project, input: $input) { id until mode sub username clientId reason }
    }
"""
_UNBAN = "mutation ($project: ID!, $id: ID!) { unban(projectId: $project, id: $id) }"
_PERMISSIONS = ["publish", "subscribe", "search", "moderate"]


def token(sub: str, **claims: Any) -> str:
    return jwt.encode({"sub": sub, **claims}, SECRET, "HS256")


def socket(served: Served, sub: str, **claims: Any) -> GraphQLSocket:
    return GraphQLSocket(served, {"authToken": token(sub, **claims)})


@asynccontextmanager
async def moderating(served: Served) -> AsyncIterator[Callable[..., Any]]:
    """Yield what bans somebody from a widget's project and returns what lifts that."""
    async with socket(served, "moderator", permissions=_PERMISSIONS) as moderator:

        async def ban(widget: Widget, **arguments: Any) -> Callable[[], Any]:
            placed = await moderator.execute(_BAN, project=widget.project, input=arguments)
            assert {name: placed[name] for name in arguments} == arguments

            async def unban() -> None:
                assert await moderator.execute(_UNBAN, project=widget.project, id=placed["id"])

            return unban

        yield ban


def forbidden(refusal: Refused) -> str:
    assert refusal.code == "FORBIDDEN"
    return str(refusal.errors[0]["message"])


async def refused(call: Callable[[], Any]) -> str:
    """Wait until a call is refused; return the words."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await call()
            except Refused as refusal:
                return forbidden(refusal)
            await asyncio.sleep(0.02)


async def allowed(call: Callable[[], Any]) -> Any:
    """Wait until a call is not refused any more; return what it returns."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await call()
            except Refused:
                await asyncio.sleep(0.02)


async def ends(subscription: Subscription) -> str:
    """Wait until a subscription ends with FORBIDDEN; return the words."""
    return await refused(subscription.next)


def publish(
    widget: Widget,
    by: GraphQLSocket,
    data: Any,
    key: str | None = None,
    on_repeat: str = "KEEP",
    *,
    persistent: bool = True,
) -> Any:
    return by.execute(
        _PUBLISH, **widget.ids, data=data, id=key, onRepeat=on_repeat, persistent=persistent
    )


async def posted(served: Served, document: str, bearer: str, **variables: Any) -> Any:
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{served.url}/graphql",
            json={"query": document, "variables": variables},
            headers={"Authorization": f"Bearer {bearer}"},
        )
    return answer.json()


def legacy(served: Served, widget: Widget) -> Client:
    return Client(f"{served.ws_url}/c8/{widget.project}/{widget.widget}", {})


def test_each_subscription_of_the_schema_is_kicked_below() -> None:
    schema = parsed_schema((ROOT / "schema.graphql").read_text())
    assert schema.subscription_type is not None
    assert schema.subscription_type.fields.keys() == _SUBSCRIPTIONS.keys()


async def test_a_kick_ends_all_that_is_open_and_keeps_the_person_out(pair: Pair) -> None:
    here, there = pair
    widget, elsewhere = Widget("kicked", "one"), Widget("not-kicked", "one")
    bearer = token("ann")
    async with (
        moderating(here) as ban,
        socket(there, "ann", permissions=_PERMISSIONS) as anns,
        socket(there, "bob") as bobs,
        legacy(there, widget) as annes_widget,
        legacy(there, widget) as bobs_widget,
        httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client,
    ):
        document = "subscription ($project: ID!, $widget: ID!) {{ {} }}"
        open_there = [
            await anns.subscribe(document.format(field), **widget.ids)
            for field in _SUBSCRIPTIONS.values()
        ]
        goes_on = [await elsewhere.subscribe(anns), await widget.subscribe(bobs)]
        await annes_widget.open(token=bearer)
        await bobs_widget.open(token=token("bob"))
        events = client.stream(
            "POST",
            f"{there.url}/graphql",
            json={"query": document.format(_SUBSCRIPTIONS["messages"]), "variables": widget.ids},
            headers={"Authorization": f"Bearer {bearer}", "Accept": "text/event-stream"},
        )
        async with events as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == ":"
            unban = await ban(widget, sub="ann", mode="KICK", reason="spam")
            told = "you are banned in the project 'kicked' permanently; reason: spam"
            for subscription in open_there:
                assert await ends(subscription) == told
            assert await annes_widget.error() == ("FORBIDDEN", told)
            assert await annes_widget.closed() == 4401
            rest = [line async for line in lines]
            assert "event: complete" in rest
            assert any(told in line and "FORBIDDEN" in line for line in rest)
        # Whatever is begun anew is refused, on each transport.
        for field in _SUBSCRIPTIONS.values():
            again = await anns.start(document.format(field), **widget.ids)
            assert await ends(again) == told
        for call in (
            lambda: widget.stored(anns),
            lambda: widget.count(anns),
            lambda: publish(widget, anns, 1),
        ):
            assert await refused(call) == told
        answer = await posted(
            there,
            f"query ($project: ID!, $widget: ID!) {{ messages({_IDS}) {{ totalCount }} }}",
            bearer,
            **widget.ids,
        )
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        async with legacy(there, widget) as again_there:
            await again_there.send(type="open", token=bearer)
            assert await again_there.error() == ("FORBIDDEN", told)
            assert await again_there.closed() == 4401
        # Nobody else notices, nor does the person in another project.
        await publish(elsewhere, anns, "elsewhere")
        await widget.publish(bobs, "go on")
        assert [(await each.next())["data"] for each in goes_on] == ["elsewhere", "go on"]
        assert await bobs_widget.data(1) == ["go on"]
        await unban()
        await allowed(lambda: publish(widget, anns, "back"))
        assert await bobs_widget.data(1) == ["back"]
        assert (await goes_on[1].next())["data"] == "back"


async def test_who_is_muted_reads_on_until_the_ban_is_lifted(pair: Pair) -> None:
    here, there = pair
    widget = Widget("muted", "one")
    async with (
        moderating(here) as ban,
        socket(there, "u1", username="Ann") as anns,
        socket(here, "bob") as bobs,
        legacy(there, widget) as annes_widget,
    ):
        heard = await widget.subscribe(anns)
        await annes_widget.open(token=token("u1", username="Ann"), persistent=True)
        before = await publish(widget, anns, "before")
        unban = await ban(widget, username="Ann", until=4_000_000_000_000)
        told = "you are muted in the project 'muted' until 2096-10-02 07:06:40 UTC"
        nothing = [str(UUID(int=0))]
        assert await refused(lambda: anns.execute(_RETRACT, **widget.ids, ids=nothing)) == told
        with pytest.raises(Refused, match="you are muted"):
            await anns.execute(_RETRACT, **widget.ids, ids=[before["id"]])
        with pytest.raises(Refused, match="you are muted"):
            await publish(widget, anns, "during")
        await annes_widget.send(type="publish", ref="1", data="during")
        assert await annes_widget.error() == ("FORBIDDEN", told)
        bearer = token("u1", username="Ann")
        variables = {**widget.ids, "data": 1, "onRepeat": "KEEP", "persistent": False}
        answer = await posted(there, _PUBLISH, bearer, **variables)
        assert answer["errors"][0]["message"] == told
        await widget.publish(bobs, "of somebody else")
        assert [m["data"] for m in await heard.take(2)] == ["before", "of somebody else"]
        assert await annes_widget.data(2) == ["before", "of somebody else"]
        assert [m["data"] for m in await widget.stored(anns)] == ["before", "of somebody else"]
        await unban()
        await allowed(lambda: publish(widget, anns, "after"))
        assert (await widget.stored(bobs))[-1]["data"] == "after"


async def test_who_is_shadowed_alone_sees_what_they_publish(pair: Pair) -> None:
    here, _ = pair
    widget = Widget("shadowed", "one")
    async with (
        moderating(here) as ban,
        socket(here, "ann") as anns,
        socket(here, "ann") as annes_other,
        socket(here, "bob") as bobs,
        legacy(here, widget) as annes_widget,
        legacy(here, widget) as bobs_widget,
    ):
        real = await publish(widget, anns, "real", "key")
        vote = await publish(widget, anns, "yes", "vote", "REPLACE")
        own, own_events = await widget.subscribe(anns), await anns.subscribe(_EVENTS, **widget.ids)
        others = [await widget.subscribe(each) for each in (annes_other, bobs)]
        await annes_widget.open(token=token("ann"), persistent=True)
        await bobs_widget.open(token=token("bob"), persistent=True)
        assert (await own_events.next()) == {"__typename": "CaughtUp"}
        await ban(widget, sub="ann", mode="SHADOW")
        first = await publish(widget, anns, "spam", "spam")
        again = await publish(widget, anns, "spam again", "spam")
        assert first == again
        assert first.keys() == real.keys()
        assert first["created"] >= vote["created"]
        assert [first[name] for name in ("data", "username", "persistent", "verified", "held")] == [
            *("spam", "ann", True, True, False)
        ]
        # What was published before answers as before, and is still the first.
        assert await publish(widget, anns, "real again", "key") == real
        fleeting = await publish(widget, anns, "fleeting", persistent=False)
        assert fleeting["persistent"] is False
        changed = await publish(widget, anns, "no", "vote", "REPLACE")
        assert await anns.execute(_RETRACT, **widget.ids, ids=[first["id"], first["id"]]) == 1
        assert await anns.execute(_RETRACT, **widget.ids, ids=[first["id"]]) == 0
        assert [m["data"] for m in await own.take(3)] == ["spam", "fleeting", "no"]
        assert await own_events.take(5) == [
            {"cursor": first["id"], "message": {"data": "spam", "verified": True}},
            {"cursor": fleeting["id"], "message": {"data": "fleeting", "verified": True}},
            {"ids": [vote["id"]], "reason": None},
            {"cursor": changed["id"], "message": {"data": "no", "verified": True}},
            {"ids": [first["id"]], "reason": None},
        ]
        # The same on the legacy wire: their own socket, and no other.
        record = await annes_widget.publish("legacy spam", id="legacy")
        assert (await annes_widget.next("message"))["message"] == record
        assert await annes_widget.publish("legacy spam", id="legacy") == record
        variables = {**widget.ids, "data": "by HTTP", "onRepeat": "KEEP", "persistent": True}
        by_http = (await posted(here, _PUBLISH, token("ann"), **variables))["data"]["publish"]
        assert (by_http["data"], by_http["persistent"]) == ("by HTTP", True)
        # Nobody else has any of it; what is stored is what was.
        await widget.publish(bobs, "end")
        for subscription in others:
            assert (await subscription.next())["data"] == "end"
            assert subscription.nothing_waits()
        assert await bobs_widget.data(1) == ["end"]
        assert [m["data"] for m in await widget.stored(bobs)] == ["real", "yes", "end"]
        # Who comes back after such a message goes on from there.
        back = await widget.subscribe(anns, after=changed["id"])
        assert (await back.next())["data"] == "end"
        # It is nobody else's cursor.
        with pytest.raises(Refused, match="UNKNOWN_CURSOR"):
            await (await widget.subscribe(bobs, after=changed["id"])).next()


async def test_a_signed_client_id_is_banned_and_a_claimed_one_cannot_be(pair: Pair) -> None:
    here, there = pair
    widget = Widget("clients", "one")
    async with moderating(here) as ban, GraphQLSocket(there) as nobodys:
        client = await nobodys.execute("{ viewer { clientId clientToken } }")
        payload = {"clientToken": client["clientToken"]}
        async with GraphQLSocket(there, payload) as signed:
            heard = await widget.subscribe(signed)
            with pytest.raises(Refused, match="expected an id that the server signed"):
                await ban(widget, clientId="claimed")
            await ban(widget, clientId=client["clientId"], mode="KICK")
            assert "you are banned" in await ends(heard)
            await widget.publish(nobodys, "anybody else")


async def test_bad_bans_are_refused_and_leave_nothing(pair: Pair) -> None:
    here, _ = pair
    widget = Widget("bad", "one")
    async with socket(here, "moderator", permissions=_PERMISSIONS) as moderator:

        async def refusal(project: str = "bad", **arguments: Any) -> str:
            with pytest.raises(Refused) as refused:
                await moderator.execute(_BAN, project=project, input=arguments)
            assert refused.value.code == "BAD_USER_INPUT", json.dumps(refused.value.errors)
            return str(refused.value.errors[0]["message"])

        assert "you cannot ban yourself" in await refusal(sub="moderator")
        assert "you cannot ban yourself" in await refusal(username="moderator")
        assert "got none of them" in await refusal()
        assert "got none of them" in await refusal(sub=None)
        assert "got input.username and input.sub" in await refusal(sub="a", username="b")
        assert "input.until is 1;" in await refusal(sub="a", until=1)
        assert "input.reason is ''" in await refusal(sub="a", reason="")
        assert "projectId is 'a b'" in await refusal("a b", sub="a")
        await refusal(sub="a", mode="LOUD")
        await refusal(sub="a", mode=None)
        for unknown in ("", "x", "00000000-0000-0000-0000-000000000000"):
            assert not await moderator.execute(_UNBAN, project="bad", id=unknown)
        listed = await moderator.execute('{ bans(projectId: "bad") { id } }')
        assert listed == []
    async with socket(here, "ann") as anns:
        for call in (
            lambda: anns.execute(_BAN, project=widget.project, input={"sub": "bob"}),
            lambda: anns.execute(_UNBAN, project=widget.project, id="x"),
            lambda: anns.execute('{ bans(projectId: "bad") { id } }'),
        ):
            assert "the permission 'moderate'" in await refused(call)
