"""Tokens that end, and are replaced, while something is open: on every transport."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, Final

import httpx
import pytest

from app.wire.close_codes import CloseCode
from tests.conftest import cloned
from tests.hosted import hosted
from tests.transports.asking import HTTP, PAGE, TRANSPORTS, GraphQLClient, Refusal, asking
from tests.transports.auth.issuer import ED_KEY, Issuer, jwk, raw_answer, token
from tests.transports.auth.signing import SECRET, signed
from tests.transports.clock import Clock
from tests.transports.legacy.served import Client

pytestmark = pytest.mark.anyio

EVERYTHING: Final = ["publish", "subscribe", "search", "moderate"]
AUTHENTICATE: Final = """
    mutation ($token: String!) {
      authenticate(token: $token) { sub username clientId clientToken permissions }
    }
"""
PUBLISH: Final = """
    mutation ($projectId: ID!, $data: JSON!) {
      publish(projectId: $projectId, widgetId: "w", data: $data) { username clientId }
    }
"""
SHORT: Final = 120
"""Seconds that a token lasts whose end a test comes to, by moving the clock."""
_projects = (f"p{number}" for number in count())


def subscription(field: str, project: str) -> str:
    """Return a subscription to one field of a channel."""
    selected = {
        "messages": "{ data }",
        "channelEvents": "{ ... on MessagePublished { message { data } } }",
        "liveMessages": "{ totalCount }",
        "connectionCount": "{ count }",
        "heldMessages": "{ data }",
    }[field]
    return f'subscription {{ {field}(projectId: "{project}", widgetId: "w") {selected} }}'


def user(name: str = "ann", lasts: float = 3600, **claims: Any) -> str:
    """Return a token of somebody, good for so many seconds."""
    return signed({"sub": name, "exp": time.time() + lasts, "permissions": EVERYTHING} | claims)


class Place:
    """The service; all that is made by it ends with the test."""

    def __init__(self, place: str, http: httpx.AsyncClient, stack: AsyncExitStack) -> None:
        self.place = place
        self.http = http
        self._stack = stack
        self.project = next(_projects)

    async def graphql(self, dialect: str = "graphql-transport-ws", **payload: Any) -> GraphQLClient:
        client = await GraphQLClient.opened(self.place, dialect, **payload)
        self._stack.push_async_callback(client.socket.close)
        assert (await client.next())["type"] == "connection_ack"
        return client

    async def legacy(self, **fields: Any) -> Client:
        client = await self._stack.enter_async_context(
            Client(f"ws://{self.place}/c8/{self.project}/w", {})
        )
        await client.open(**fields)
        return client

    async def ask(self, query: str, token: str, **variables: Any) -> Any:
        answer = await self.http.post(
            "/graphql",
            json={"query": query, "variables": variables},
            headers={"authorization": f"Bearer {token}"},
        )
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]

    async def publish(self, data: Any, name: str = "ann") -> None:
        await self.ask(PUBLISH, user(name), projectId=self.project, data=data)

    async def ban(self, name: str, mode: str) -> None:
        await self.ask(
            f'mutation {{ ban(projectId: "{self.project}", input: {{sub: "{name}", mode: {mode}}}) '
            "{ id } }",
            user("moderator"),
        )


@pytest.fixture(scope="module")
async def running(postgres: Any, template_database: str) -> AsyncIterator[str]:
    for url in cloned(postgres, template_database):
        async with hosted(url, jwt_secret=SECRET, allowed_origins=(PAGE,)) as place:
            yield place


@pytest.fixture
async def place(running: str) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        http = httpx.AsyncClient(base_url=f"http://{running}", timeout=10, verify=False)
        yield Place(running, await stack.enter_async_context(http), stack)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


DIALECTS: Final = ("graphql-transport-ws", "graphql-ws")


# The end.


async def _stream_of(place: Place, token: str, accept: str, begun: asyncio.Event) -> str:
    """Return all that a stream brings until its end."""
    query = {"query": subscription("messages", place.project)}
    headers = {"authorization": f"Bearer {token}", "accept": accept}
    async with place.http.stream("POST", "/graphql", json=query, headers=headers) as response:
        assert response.status_code == 200
        begun.set()
        return (await response.aread()).decode()


async def test_whatever_is_open_ends_with_its_token(place: Place, clock: Clock) -> None:
    short = user(lasts=SHORT)
    sockets = [await place.graphql(dialect, authToken=short) for dialect in DIALECTS]
    for one in sockets:
        await one.start("s", subscription("messages", place.project))
    widget = await place.legacy(token=short)
    begun = [asyncio.Event() for _ in range(2)]
    streams = asyncio.gather(
        _stream_of(place, short, "text/event-stream", begun[0]),
        _stream_of(
            place, short, "multipart/mixed; subscriptionSpec=1.0, application/json", begun[1]
        ),
    )
    for event in begun:
        await event.wait()
    clock.moved = SHORT
    closed = await asyncio.gather(*(one.closed() for one in sockets))
    assert await widget.closed() == CloseCode.FORBIDDEN
    events, parts = await streams
    expired = (CloseCode.FORBIDDEN, "the token has expired")
    assert closed == [expired, expired]
    assert await widget.error() == ("UNAUTHENTICATED", "the token has expired")
    # Without its ending: the client comes back.
    assert "event: complete" not in events
    last = json.loads(parts.split("\r\n\r\n")[-1].partition("\r\n")[0])
    assert last["payload"] is None
    assert last["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_token_in_its_leeway_is_no_way_round_in_circles(place: Place, clock: Clock) -> None:
    """It was accepted and closed in turns, as fast as the client could connect."""
    past = user(lasts=-5)
    client = await place.graphql(authToken=past)
    widget = await place.legacy(token=past)
    await clock.looked_at()
    assert "viewer" in (await client.answer("1", "{ viewer { sub } }"))["data"]
    await widget.publish("still here")


# A new token on a GraphQL socket.


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_new_token_goes_on_without_a_gap_or_a_repeat(
    place: Place, dialect: str, clock: Clock
) -> None:
    client = await place.graphql(dialect, authToken=user(lasts=SHORT))
    for field in ("messages", "channelEvents"):
        await client.start(field, subscription(field, place.project))
    await client.answer("ready", "{ __typename }")

    enough = asyncio.Event()
    acknowledged: asyncio.Queue[int] = asyncio.Queue()

    async def publish_until_past_the_end() -> int:
        for number in count(1):
            await place.publish(number)
            acknowledged.put_nowait(number)
            if enough.is_set():
                return number
        raise AssertionError

    async def publish_a_few() -> None:
        async with asyncio.timeout(10):
            for _ in range(3):
                await acknowledged.get()

    publishing = asyncio.create_task(publish_until_past_the_end())
    await publish_a_few()
    answer = await client.answer("a", AUTHENTICATE, token=user())
    assert answer["data"]["authenticate"]["sub"] == "ann"
    clock.moved = SHORT
    await clock.looked_at()
    await publish_a_few()
    enough.set()
    published = await publishing
    heard: dict[str, list[int]] = {"messages": [], "channelEvents": []}
    for _ in range(published):
        heard["messages"].append(
            (await client.next("messages"))["payload"]["data"]["messages"]["data"]
        )
    while len(heard["channelEvents"]) < published:
        event = (await client.next("channelEvents"))["payload"]["data"]["channelEvents"]
        if event:  # CaughtUp has nothing that is selected
            heard["channelEvents"].append(event["message"]["data"])
    assert heard["messages"] == heard["channelEvents"] == list(range(1, published + 1))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_only_what_the_new_token_does_not_grant_ends(place: Place, dialect: str) -> None:
    client = await place.graphql(dialect, authToken=user())
    fields = ("messages", "channelEvents", "liveMessages", "connectionCount", "heldMessages")
    for field in fields:
        await client.start(field, subscription(field, place.project))
    await client.start("elsewhere", subscription("messages", "elsewhere"))
    assert (await client.next("liveMessages"))["payload"]["data"]["liveMessages"]["totalCount"] == 0

    async def lost(*operations: str) -> None:
        for one in operations:
            while (frame := await client.next(one))["type"] != "error":
                pass
            errors = frame["payload"] if isinstance(frame["payload"], list) else [frame["payload"]]
            assert [error["extensions"]["code"] for error in errors] == ["FORBIDDEN"], one

    await client.answer("1", AUTHENTICATE, token=user(permissions=["subscribe", "publish"]))
    await lost("liveMessages", "heldMessages")
    await place.publish("after")
    assert (await client.next("messages"))["payload"]["data"]["messages"]["data"] == "after"
    # Counted while it listens, and not any more.
    await client.answer("2", AUTHENTICATE, token=user(projects=["elsewhere"]))
    await lost("messages", "channelEvents", "connectionCount")
    await place.ask(PUBLISH, user(), projectId="elsewhere", data="there")
    assert (await client.next("elsewhere"))["payload"]["data"]["messages"]["data"] == "there"
    counted = await place.ask(
        f'{{ connectionCount(projectId: "{place.project}", widgetId: "w") {{ count }} }}', user()
    )
    assert counted["connectionCount"]["count"] == 0
    await client.answer("3", AUTHENTICATE, token=user(permissions=[]))
    await lost("elsewhere")
    # The socket is still there, and so are the ids.
    await client.answer("4", AUTHENTICATE, token=user())
    await client.start("messages", subscription("messages", place.project))
    await client.answer("5", "{ __typename }")
    await place.publish("again")
    assert (await client.next("messages"))["payload"]["data"]["messages"]["data"] == "again"


async def test_a_bad_new_token_changes_nothing(place: Place, clock: Clock) -> None:
    client = await place.graphql(authToken=user(lasts=SHORT))
    await client.start("s", subscription("messages", place.project))
    for bad, words in (
        ("rubbish", "not a valid JSON Web Token"),
        ("", "not a JSON Web Token"),
        (user(lasts=-61), "the token has expired"),
        (user()[:-4] + "AAAA", "signature"),
        ("x" * 9000, "the token has 9000 bytes; allowed are 8192"),
    ):
        answer = await client.answer("a", AUTHENTICATE, token=bad)
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        assert words in error["message"]
    await place.publish("on")
    assert (await client.next("s"))["payload"]["data"]["messages"]["data"] == "on"
    clock.moved = SHORT
    assert await client.closed() == (CloseCode.FORBIDDEN, "the token has expired")


async def test_somebody_else_may_go_on_and_is_known_by_their_own_name(place: Place) -> None:
    """The signed client id stays: it is the browser's, not the user's."""
    anonymous = await place.graphql()
    viewer = "{ viewer { clientId clientToken } }"
    signed_client = (await anonymous.answer("1", viewer))["data"]["viewer"]
    client = await place.graphql(authToken=user("ann"), clientToken=signed_client["clientToken"])
    await client.start("s", subscription("messages", place.project))
    answer = await client.answer("2", AUTHENTICATE, token=user("ben", username="Ben"))
    seen = answer["data"]["authenticate"]
    assert (seen["sub"], seen["username"], seen["clientId"]) == (
        "ben",
        "Ben",
        signed_client["clientId"],
    )
    published = await client.answer("3", PUBLISH, projectId=place.project, data=1)
    assert published["data"]["publish"] == {
        "username": "Ben",
        "clientId": signed_client["clientId"],
    }
    # One that was offered to nobody is not Ben's.
    first = (await anonymous.answer("4", AUTHENTICATE, token=user("ben")))["data"]["authenticate"]
    assert (first["clientId"], first["clientToken"]) == (None, None)
    # From now on it is Ben whom a ban is about.
    await place.ban("ann", "KICK")
    assert (await client.answer("5", "{ viewer { sub } }"))["data"]["viewer"]["sub"] == "ben"
    await place.publish(2, "cid")
    await client.next("s")
    assert (await client.next("s"))["payload"]["data"]["messages"]["data"] == 2
    await place.ban("ben", "KICK")
    assert (await client.next("s"))["type"] == "error"


async def test_who_publishes_in_the_same_request_is_the_new_one_already(place: Place) -> None:
    client = await place.graphql()
    query = (
        "mutation ($token: String!, $projectId: ID!) { authenticate(token: $token) { sub } "
        'publish(projectId: $projectId, widgetId: "w", data: 1) { username } }'
    )
    answer = await client.answer("1", query, token=user("ben"), projectId=place.project)
    assert answer["data"] == {"authenticate": {"sub": "ben"}, "publish": {"username": "ben"}}


async def test_a_shadowed_person_is_so_by_a_new_token_too(place: Place) -> None:
    await place.ban("troll", "SHADOW")
    troll, other = await place.graphql(authToken=user("ann")), await place.graphql()
    for client in (troll, other):
        await client.start("s", subscription("messages", place.project))
        await client.answer("ready", "{ __typename }")
    await troll.answer("1", AUTHENTICATE, token=user("troll"))
    await troll.answer("2", PUBLISH, projectId=place.project, data="spam")
    assert (await troll.next("s"))["payload"]["data"]["messages"]["data"] == "spam"
    await place.publish("seen by all")
    assert (await other.next("s"))["payload"]["data"]["messages"]["data"] == "seen by all"


async def test_held_messages_are_shown_by_the_rights_of_who_listens_now(place: Place) -> None:
    await place.ask(
        'mutation ($p: ID!) { setChannelPolicy(projectId: $p, widgetId: "w", '
        "policy: {hold: UNTIL_APPROVED}) { hold } }",
        user("moderator"),
        p=place.project,
    )
    client = await place.graphql(authToken=user("ann"))
    await client.start("h", subscription("heldMessages", place.project))
    await client.answer("1", AUTHENTICATE, token=user("ben"))

    async def hold(data: int) -> None:
        visitor = user("visitor", permissions=["publish"])
        await place.ask(PUBLISH, visitor, projectId=place.project, data=data)

    await place.ban("ann", "MUTE")  # who moderates no more, and is not here
    await hold(1)
    assert (await client.next("h"))["payload"]["data"]["heldMessages"]["data"] == 1
    await place.ban("ben", "MUTE")
    await hold(2)
    assert (await client.next("h"))["type"] == "error"


async def test_over_http_each_request_has_its_own_token(place: Place) -> None:
    body = {"query": AUTHENTICATE, "variables": {"token": user()}}
    for headers in ({}, {"origin": PAGE}, {"accept": "application/graphql-response+json"}):
        answer = await place.http.post("/graphql", json=body, headers=headers)
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["message"].startswith("authenticate came over HTTP; it is for WebSockets")


# A new token on a legacy socket.


async def test_a_legacy_socket_goes_on_with_a_new_token(place: Place, clock: Clock) -> None:
    widget = await place.legacy(token=user("ann", lasts=SHORT), client_id="widget 1")
    # A publish behind it is the new one's already.
    await widget.send(type="auth", ref=1, token=user("ben", username="Ben"))
    await widget.send(type="publish", ref=2, data="by ben")
    assert await widget.next("ack", ref=1) == {"type": "ack", "ref": 1, "username": "Ben"}
    acked = (await widget.next("ack", ref=2))["message"]
    assert (acked["username"], acked["client_id"]) == ("Ben", "widget 1")
    for ref, bad in ((3, user(lasts=-61)), (4, "rubbish"), (5, user()[:-4] + "AAAA")):
        await widget.send(type="auth", ref=ref, token=bad)
        assert (await widget.next("error", ref=ref))["code"] == "UNAUTHENTICATED"
    clock.moved = SHORT
    await clock.looked_at()
    assert (await widget.publish("still ben"))["username"] == "Ben"
    assert await widget.data(2) == ["by ben", "still ben"]
    # What the new one may not do is refused, and the socket lives.
    await widget.send(type="auth", ref=6, token=user("ben", permissions=["subscribe"]))
    await widget.next("ack", ref=6)
    await widget.send(type="publish", ref=7, data="no")
    assert (await widget.next("error", ref=7))["code"] == "FORBIDDEN"
    await place.publish("heard")
    assert await widget.data(1) == ["heard"]


async def test_a_new_token_may_come_before_the_open_is_answered(place: Place) -> None:
    async with Client(f"ws://{place.place}/c8/{place.project}/w", {}) as widget:
        await widget.send(type="open")
        await widget.send(type="auth", ref="a", token=user("ben"))
        await widget.send(type="publish", ref="p", data=1)
        assert (await widget.next("open"))["username"] is None
        assert (await widget.next("ack", ref="a"))["username"] == "ben"
        assert (await widget.next("ack", ref="p"))["message"]["username"] == "ben"


@pytest.mark.parametrize(
    ("claims", "banned", "close"),
    [
        ({"permissions": ["publish"]}, False, CloseCode.FORBIDDEN),
        ({"projects": ["elsewhere"]}, False, CloseCode.FORBIDDEN),
        ({}, True, CloseCode.UNAUTHORIZED),
    ],
)
async def test_a_legacy_socket_ends_where_the_new_token_may_not_listen(
    place: Place, claims: dict[str, Any], banned: bool, close: int
) -> None:
    if banned:
        await place.ban("ben", "KICK")
    widget = await place.legacy(token=user("ann"))
    await widget.send(type="auth", ref=1, token=user("ben", **claims))
    assert await widget.closed() == close
    assert (await widget.error())[0] == "FORBIDDEN"


# An issuer's keys.


async def test_on_every_transport_a_token_waits_for_the_key_that_is_being_fetched(
    database_url: str,
) -> None:
    come = asyncio.Event()

    async def answer_late(writer: asyncio.StreamWriter) -> None:
        await come.wait()
        writer.write(raw_answer(json.dumps({"keys": [jwk(ED_KEY, kid="1")]}).encode()))

    async with Issuer() as issuer:
        issuer.answer = answer_late
        async with (
            hosted(database_url, jwks_url=issuer.url, allowed_origins=(PAGE,)) as running,
            asking(running),
        ):
            asked = [asyncio.create_task(ask(running, token(ED_KEY, "1"))) for ask in TRANSPORTS]
            await issuer.asked(1)
            done, _ = await asyncio.wait(asked, timeout=0.2)
            assert not done
            come.set()
            seen = await asyncio.gather(*asked)
        assert set(seen) == {"u1", "it listens"}
        assert len(issuer.requests) == 1


async def test_on_every_transport_a_key_that_cannot_be_fetched_is_no_bad_token(
    database_url: str,
) -> None:
    """It would be final: whoever has it would stay away after the issuer is back."""
    async with Issuer() as issuer:
        issuer.answer = raw_answer(b"", "503 Service Unavailable")
        settings = {"jwt_secret": SECRET, "jwks_url": issuer.url, "allowed_origins": (PAGE,)}
        async with hosted(database_url, **settings) as running, asking(running):
            await issuer.asked(1)
            for ask in TRANSPORTS:
                refusal = await ask(running, token(ED_KEY, "1"))
                assert isinstance(refusal, Refusal), ask
                assert refusal.outcome == (503 if ask in HTTP else CloseCode.TRY_AGAIN_LATER), ask
                assert refusal.code in {"UNAVAILABLE", ""}
                assert refusal.message == (
                    "the keys that tokens are verified with cannot be fetched now; retry later"
                )
                # Those of the service's own key are looked at as ever.
                assert await ask(running, user()) in {"ann", "it listens"}
            client = await GraphQLClient.opened(running, authToken=user())
            await client.next()
            answer = await client.answer("1", AUTHENTICATE, token=token(ED_KEY, "1"))
            assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
            await client.socket.close()
        assert len(issuer.requests) <= 2
