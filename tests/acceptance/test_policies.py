"""Channel policies as clients meet them: on every wire, in every process, without the database."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import jwt
import pytest

from app.embedded.postgres import EmbeddedPostgres
from tests.hosted import hosted
from tests.postgres_faults import frozen
from tests.transports.legacy.served import Client

pytestmark = pytest.mark.anyio

_SECRET = "a secret of more than thirty-two bytes"
_PUBLISH = """
    mutation ($widget: ID!, $data: JSON!, $client: ID, $persistent: Boolean!, $id: ID) {
      publish(projectId: "show", widgetId: $widget, data: $data, clientId: $client,
              persistent: $persistent, id: $id) { id data }
    }
"""
_FIELDS = """
    writers slowModeSeconds maxPublishesPerSecond opensAt closesAt hold blockedWords dataSchema
    retentionSeconds
"""
_SET = f"""
    mutation ($widget: ID!, $policy: ChannelPolicyInput!) {{
      setChannelPolicy(projectId: "show", widgetId: $widget, policy: $policy) {{ {_FIELDS} }}
    }}
"""
_GET = f"""
    query ($widget: ID!) {{ channelPolicy(projectId: "show", widgetId: $widget) {{ {_FIELDS} }} }}
"""
_EVENTS = f"""
    subscription ($widget: ID!) {{
      channelEvents(projectId: "show", widgetId: $widget) {{
        __typename
        ... on ChannelPolicyChanged {{ policy {{ {_FIELDS} }} }}
      }}
    }}
"""
_COUNT = 'query ($widget: ID!) { messages(projectId: "show", widgetId: $widget) { totalCount } }'
_DEFAULT: dict[str, Any] = {
    "writers": "EVERYONE",
    "slowModeSeconds": 0,
    "maxPublishesPerSecond": None,
    "opensAt": None,
    "closesAt": None,
    "hold": "NONE",
    "blockedWords": [],
    "dataSchema": None,
    "retentionSeconds": None,
}
_PERMISSIONS = ["publish", "subscribe", "search"]


def _token(subject: str, *more: str) -> str:
    return jwt.encode({"sub": subject, "permissions": [*_PERMISSIONS, *more]}, _SECRET, "HS256")


MODERATOR = _token("mo", "moderate")


class Process:
    """One server process, asked over HTTP and over legacy sockets."""

    def __init__(self, host: str, http: httpx.AsyncClient, stack: AsyncExitStack) -> None:
        self._host = host
        self._http = http
        self._stack = stack

    async def ask(self, document: str, token: str | None = None, **variables: Any) -> Any:
        """Return the answer's data, or the extensions of its error with its message."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        body = {"query": document, "variables": variables}
        answer = (await self._http.post("/graphql", json=body, headers=headers)).json()
        if "errors" not in answer:
            (data,) = answer["data"].values()
            return data
        (error,) = answer["errors"]
        return error["extensions"] | {"message": error["message"]}

    @asynccontextmanager
    async def events(self, widget: str) -> AsyncIterator[AsyncIterator[Any]]:
        """Yield the events of a channel, as an event stream brings them."""
        headers = {"Accept": "text/event-stream"}
        body = {"query": _EVENTS, "variables": {"widget": widget}}
        async with self._http.stream("POST", "/graphql", json=body, headers=headers) as response:

            async def events() -> AsyncIterator[Any]:
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        yield json.loads(line[6:])["data"]["channelEvents"]

            yield events()

    async def set(self, widget: str, token: str | None = MODERATOR, **policy: Any) -> Any:
        return await self.ask(_SET, token, widget=widget, policy=policy)

    async def publish(
        self, widget: str, data: Any, token: str | None = None, **more: Any
    ) -> dict[str, Any]:
        more = {"client": "me", "persistent": True} | more
        return dict(await self.ask(_PUBLISH, token, widget=widget, data=data, **more))

    async def publish_legacy(
        self, widget: str, data: Any, token: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """Return the record, or the error frame."""
        client = await self._stack.enter_async_context(
            Client(f"ws://{self._host}/c8/show/{widget}", {})
        )
        fields = {} if token is None else {"token": token}
        await client.open(client_id="me", persistent=more.pop("persistent", True), **fields)
        await client.send(type="publish", ref="1", data=data, **more)
        frame = await client.answer("1")
        return dict(frame["message"]) if frame["type"] == "ack" else frame


@asynccontextmanager
async def _process(database_url: str) -> AsyncIterator[Process]:
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(hosted(database_url, jwt_secret=_SECRET))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{host}"))
        yield Process(host, http, stack)


@pytest.fixture
async def one(database_url: str) -> AsyncIterator[Process]:
    """A server process."""
    async with _process(database_url) as process:
        yield process


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Process]:
    """Another one with the same database, and nothing else between them."""
    async with _process(database_url) as process:
        yield process


async def _until(condition: Callable[[], Any]) -> float:
    begun = time.monotonic()
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.02)
    return time.monotonic() - begun


@pytest.mark.parametrize("wire", ["GraphQL", "legacy"])
async def test_every_rule_refuses_in_words_and_stores_nothing(one: Process, wire: str) -> None:
    publish = one.publish if wire == "GraphQL" else one.publish_legacy
    now = int(time.time() * 1000)
    cases: list[tuple[dict[str, Any], Any, str | None, str, str]] = [
        (
            {"writers": "NOBODY"},
            1,
            MODERATOR,
            "FORBIDDEN",
            "publishing is disabled in this channel",
        ),
        ({"writers": "VERIFIED"}, 1, None, "FORBIDDEN", "only verified publishers may publish"),
        ({"opensAt": now + 60_000}, 1, None, "REJECTED", "the channel opens at "),
        ({"closesAt": now - 1}, 1, MODERATOR, "REJECTED", "the channel closed at "),
        (
            {"blockedWords": ["idiot"]},
            {"t": ["Ídiot!"]},
            None,
            "REJECTED",
            "data contains a word that",
        ),
        (
            {"dataSchema": {"properties": {"n": {"type": "integer"}}}},
            {"n": 1.5},
            None,
            "REJECTED",
            "data does not match the channel's dataSchema: at /n, the value is not of type ",
        ),
    ]
    for number, (policy, data, token, code, message) in enumerate(cases):
        widget = f"w{number}"
        assert await one.set(widget, **policy) == _DEFAULT | policy
        for persistent in (True, False):
            refused = await publish(widget, data, token, persistent=persistent)
            assert refused["code"] == code
            assert refused["message"].startswith(message)
        assert (await one.ask(_COUNT, widget=widget))["totalCount"] == 0
        # With the default again, the same is published.
        assert await one.set(widget, **dict.fromkeys(policy)) == _DEFAULT
        assert (await publish(widget, data, token))["data"] == data


@pytest.mark.parametrize("wire", ["GraphQL", "legacy"])
async def test_the_two_rates_say_when_to_come_back(one: Process, wire: str) -> None:
    publish = one.publish if wire == "GraphQL" else one.publish_legacy
    await one.set("slow", slowModeSeconds=60)
    first = await publish("slow", 1, id="key")
    refused = await publish("slow", 2)
    assert refused["code"] == "RATE_LIMITED"
    assert 0 < refused["retryAfterMs"] <= 60_000
    assert "each publisher may send one message every 60 s" in refused["message"]
    assert (await publish("slow", 1, id="key"))["id"] == first["id"]  # a retry
    for _ in range(2):
        assert "id" in await publish("slow", 3, MODERATOR)

    await one.set("busy", maxPublishesPerSecond=1)
    await publish("busy", 1)
    refused = await publish("busy", 2, MODERATOR)
    assert refused["code"] == "RATE_LIMITED"
    assert 0 < refused["retryAfterMs"] <= 1000
    assert (await one.ask(_COUNT, widget="busy"))["totalCount"] == 1


async def test_a_policy_holds_in_every_process_within_a_second(
    one: Process, other: Process, postgres: EmbeddedPostgres
) -> None:
    assert await other.ask(_GET, widget="w") == _DEFAULT
    await one.set("w", blockedWords=["idiot"], closesAt=253_402_300_799_999)
    assert (await one.publish("w", "idiot"))["code"] == "REJECTED"

    async def holds() -> bool:
        return (await other.publish("w", "idiot", persistent=False)).get("code") == "REJECTED"

    assert await _until(holds) < 1
    expected = _DEFAULT | {"blockedWords": ["idiot"], "closesAt": 253_402_300_799_999}
    assert await other.ask(_GET, widget="w") == expected
    with frozen(postgres):
        # What is known holds while the database says nothing, and is refused at once.
        async with asyncio.timeout(1):
            assert (await other.publish("w", "idiot"))["code"] == "REJECTED"
            assert (await one.publish("w", "idiot"))["code"] == "REJECTED"
    # What is left out stays, null is the default: whatever the other process knows by now.
    expected = _DEFAULT | {"blockedWords": ["idiot"], "slowModeSeconds": 5}
    assert await other.set("w", closesAt=None, slowModeSeconds=5) == expected


async def test_whoever_listens_is_told_of_a_new_policy_in_every_process(
    one: Process, other: Process
) -> None:
    async with one.events("w") as here, other.events("w") as there, other.events("v") as elsewhere:
        for listening in (here, there, elsewhere):
            assert await anext(listening) == {"__typename": "CaughtUp"}
        for policy in (
            {"writers": "NOBODY", "dataSchema": {"maximum": 1.50}},
            {"slowModeSeconds": 5},
        ):
            changed = await one.set("w", **policy)
            for listening in (here, there):
                event = await asyncio.wait_for(anext(listening), 10)
                assert event == {"__typename": "ChannelPolicyChanged", "policy": changed}
        await other.set("v", hold="UNTIL_APPROVED")
        event = await asyncio.wait_for(anext(elsewhere), 10)
        assert event["policy"] == _DEFAULT | {"hold": "UNTIL_APPROVED"}


async def test_slow_mode_holds_whatever_process_a_publisher_comes_to(
    one: Process, other: Process
) -> None:
    await one.set("w", slowModeSeconds=60)

    async def known() -> bool:
        return bool((await other.ask(_GET, widget="w"))["slowModeSeconds"])

    await _until(known)
    ann = _token("ann")
    first = await one.publish("w", 1, ann, id="key")
    refused = await other.publish("w", 2, ann)
    assert refused["code"] == "RATE_LIMITED"
    assert 50_000 < refused["retryAfterMs"] <= 60_000
    assert (await other.publish("w", 1, ann, id="key"))["id"] == first["id"]
    assert "id" in await other.publish("w", 2, _token("bob"))
    assert (await one.ask(_COUNT, widget="w"))["totalCount"] == 2


async def test_what_may_not_be_set_is_refused_and_nothing_is_changed(
    one: Process,
) -> None:
    before = await one.set("w", opensAt=1000, slowModeSeconds=1)
    anybody, ann = None, _token("ann")
    for token, code in ((anybody, "UNAUTHENTICATED"), (ann, "FORBIDDEN")):
        assert (await one.set("w", token, writers="NOBODY"))["code"] == code
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"closesAt": 1000}, "opensAt is 1000 and closesAt is 1000; opensAt must be before"),
        ({"slowModeSeconds": 86_401}, "slowModeSeconds is 86401; allowed: 0 to 86400"),
        ({"maxPublishesPerSecond": 0}, "maxPublishesPerSecond is 0; allowed: 1 to 100000"),
        ({"blockedWords": ["!"]}, "blockedWords[0] is '!'; expected 1 to 64 printable"),
        ({"dataSchema": "schema"}, "dataSchema is 'schema'; expected a JSON Schema"),
        (
            {"dataSchema": {"type": 7}},
            ("dataSchema is not a valid JSON Schema (draft 2020-12): at /type"),
        ),
        ({"dataSchema": {"$ref": "http://127.0.0.1:9/x"}}, "dataSchema has the reference"),
        ({"dataSchema": {"pattern": "(?=a)b"}}, "dataSchema at /pattern is '(?=a)b'; expected"),
        ({"dataSchema": {"pattern": "((a{99}){99}){99}"}}, "dataSchema at /pattern is"),
        (
            {"dataSchema": {"not": {"$ref": "#"}}},
            "dataSchema at its root is applied recursively without",
        ),
    ]
    for policy, message in refusals:
        # With something good beside it: all of a change holds, or nothing.
        refused = await one.set("w", **policy, retentionSeconds=60)
        assert refused["code"] == "BAD_USER_INPUT", policy
        assert refused["message"].startswith(message), refused
    huge = await one.set("w", dataSchema={"$comment": "x" * 40_000})
    assert huge["code"] == "PAYLOAD_TOO_LARGE"
    assert await one.ask(_GET, widget="w") == before
