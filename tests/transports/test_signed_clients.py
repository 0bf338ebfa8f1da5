"""Signed client ids on every transport: proven, kept, renewed; a bad token is never nobody."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx
import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.services.client_ids import ClientIds
from app.wire.close_codes import CloseCode
from tests.hosted import hosted
from tests.transports.legacy.served import Client

pytestmark = pytest.mark.anyio

JWT_SECRET: Final = "a secret of more than thirty-two bytes"
SECRET: Final = "another secret of more than thirty-two bytes"
OLD_SECRET: Final = "an older secret of more than thirty-two bytes"
IDS: Final = ClientIds([SECRET])
WHOAMI: Final = "{ viewer { clientId } }"
LISTEN: Final = 'subscription { messages(projectId: "p", widgetId: "w") { id } }'
PUBLISH: Final = """
    mutation ($data: JSON!, $clientId: ID, $id: ID) {
      publish(projectId: "p", widgetId: "w", data: $data, clientId: $clientId, id: $id) {
        id clientId data
      }
    }
"""


@dataclass
class Refusal:
    """How a transport refused: the status or the close code, the error's code, its text."""

    outcome: int
    code: str
    message: str


Ask = Callable[[str, Any], Awaitable[Any]]
"""With a client token: the client id that the server sees, or a `Refusal`."""


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[str]:
    async with hosted(
        database_url,
        jwt_secret=JWT_SECRET,
        client_secret=f"{SECRET},{OLD_SECRET}",
        allowed_origins=("https://video.example",),
    ) as place:
        yield place


async def _over_http(
    place: str, token: Any, method: str, query: str = WHOAMI, **headers: str
) -> Any:
    url = f"http://{place}/graphql"
    sent = headers | {"widgetwire-client": token}
    async with httpx.AsyncClient(headers=sent, timeout=10) as client:
        if method == "GET":
            request = client.stream("GET", url, params={"query": query})
        else:
            request = client.stream("POST", url, json={"query": query})
        async with request as response:
            if response.status_code == 200 and query is LISTEN:
                return None  # It listens: that is all it can tell.
            answer = json.loads(await response.aread())
    if "errors" in answer:
        (error,) = answer["errors"]
        return Refusal(response.status_code, error["extensions"]["code"], error["message"])
    return answer["data"]["viewer"]["clientId"]


async def post(place: str, token: Any) -> Any:
    return await _over_http(place, token, "POST")


async def post_of_a_page(place: str, token: Any) -> Any:
    return await _over_http(place, token, "POST", origin="https://video.example")


async def get(place: str, token: Any) -> Any:
    return await _over_http(place, token, "GET")


async def event_stream(place: str, token: Any) -> Any:
    return await _over_http(place, token, "POST", LISTEN, accept="text/event-stream")


async def multipart(place: str, token: Any) -> Any:
    accept = "multipart/mixed; subscriptionSpec=1.0, application/json"
    return await _over_http(place, token, "GET", LISTEN, accept=accept)


async def _over_a_socket(place: str, token: Any, dialect: str, start: str) -> Any:
    async with connect(
        f"ws://{place}/graphql", subprotocols=[Subprotocol(dialect)], max_size=None
    ) as socket:
        init = {"type": "connection_init", "payload": {"clientToken": token}}
        await socket.send(json.dumps(init))
        try:
            frame = await _next(socket)
            if frame["type"] == "connection_error":  # in the older one, before the close
                await _next(socket)
        except ConnectionClosed:
            return Refusal(socket.close_code or 0, "UNAUTHENTICATED", socket.close_reason or "")
        await socket.send(json.dumps({"id": "1", "type": start, "payload": {"query": WHOAMI}}))
        return (await _next(socket))["payload"]["data"]["viewer"]["clientId"]


async def _next(socket: ClientConnection) -> Any:
    async with asyncio.timeout(10):
        return json.loads(await socket.recv())


async def transport_ws(place: str, token: Any) -> Any:
    return await _over_a_socket(place, token, "graphql-transport-ws", "subscribe")


async def graphql_ws(place: str, token: Any) -> Any:
    return await _over_a_socket(place, token, "graphql-ws", "start")


async def legacy(place: str, token: Any) -> Any:
    async with Client(f"ws://{place}/c8/p/w", {}) as client:
        await client.send(type="open", client_token=token)
        try:
            reply = await client.next("open")
        except ConnectionClosed:
            code, message = await client.error()
            assert client.socket.close_code is not None
            return Refusal(client.socket.close_code, code, message)
        assert IDS.verified(reply["client_token"]) == reply["client_id"]
        return reply["client_id"]


HTTP = (post, post_of_a_page, get, event_stream, multipart)
SOCKETS = (transport_ws, graphql_ws, legacy)


async def test_every_transport_knows_whom_a_token_proves(place: str) -> None:
    own = IDS.signed(IDS.new_id())
    of_old = ClientIds([OLD_SECRET]).signed(IDS.new_id())
    for client in (own, of_old):
        for transport in (*HTTP, *SOCKETS):
            seen = await transport(place, client.token)
            assert seen == (None if transport in (event_stream, multipart) else client.id), (
                transport
            )


async def test_every_transport_refuses_a_bad_one_in_words(place: str) -> None:
    good = IDS.signed(IDS.new_id()).token
    flipped = good[:-3] + ("A" if good[-3] != "A" else "B") + good[-2:]
    bad: dict[str, tuple[Any, str]] = {
        "forged": (flipped, "the client token's signature is invalid"),
        "foreign": (
            ClientIds(["the secret of another server, not ours"]).signed("signed-x").token,
            "the client token's signature is invalid: it was signed by another server",
        ),
        "a user's": (
            jwt.encode({"sub": "u", "exp": 10**10}, JWT_SECRET, "HS256"),
            "the client token is another kind of token",
        ),
        "huge": ("x" * 5_000, "the client token has 5000 characters; allowed: 512"),
        "rubbish": ("rubbish", "the client token is malformed"),
        "expired": (
            ClientIds([SECRET], lambda: 1.0).signed(IDS.new_id()).token,
            "the client token has expired",
        ),
    }
    for name, (token, words) in bad.items():
        for transport in (*HTTP, *SOCKETS):
            refusal = await transport(place, token)
            assert isinstance(refusal, Refusal), (name, transport)
            final = CloseCode.FORBIDDEN if name == "expired" else CloseCode.UNAUTHORIZED
            assert refusal.outcome == (401 if transport in HTTP else final), (name, transport)
            assert refusal.code == "UNAUTHENTICATED"
            assert refusal.message.startswith(words), (name, transport)
    for transport in HTTP:
        assert (await transport(place, "")).message.startswith("the client token is malformed")
    for transport in SOCKETS:
        for token in (7, [good], {"token": good}):
            refusal = await transport(place, token)
            assert (refusal.outcome, refusal.code) == (4401, "UNAUTHENTICATED")
            assert "expected a string" in refusal.message
            assert good not in refusal.message


async def test_the_handshake_of_a_graphql_socket_may_carry_it(place: str) -> None:
    client = IDS.signed(IDS.new_id())
    for token, seen in ((client.token, client.id), ("rubbish", None)):
        async with connect(
            f"ws://{place}/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
            additional_headers={"Widgetwire-Client": token},
        ) as socket:
            await socket.send('{"type": "connection_init"}')
            if seen is None:
                with pytest.raises(ConnectionClosed):
                    await _next(socket)
                assert socket.close_code == CloseCode.UNAUTHORIZED
                continue
            assert (await _next(socket))["type"] == "connection_ack"
            payload = {"query": WHOAMI}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            assert (await _next(socket))["payload"]["data"]["viewer"]["clientId"] == seen


async def test_one_client_is_one_publisher_whatever_carries_it(place: str) -> None:
    """A vote by the widget and one by the page are one vote; nobody else's is in the way."""
    async with (
        Client(f"ws://{place}/c8/p/w", {}) as widget,
        httpx.AsyncClient(base_url=f"http://{place}", timeout=10) as http,
    ):

        async def publish(token: str | None, **variables: Any) -> Any:
            headers = {} if token is None else {"widgetwire-client": token}
            body = {"query": PUBLISH, "variables": {"data": "page", "id": "vote"} | variables}
            return (await http.post("/graphql", json=body, headers=headers)).json()

        opened = await widget.open(client_token="", persistent=True)
        assert opened["client_id"].startswith("signed-")
        first = await widget.publish("widget", id="vote")
        assert first["client_id"] == opened["client_id"]
        again = await publish(opened["client_token"])
        assert again["data"]["publish"] == {
            "id": first["id"],
            "clientId": opened["client_id"],
            "data": "widget",
        }
        posing = await publish(None, clientId=opened["client_id"])
        assert posing["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        other = await publish(IDS.signed(IDS.new_id()).token, clientId="another page")
        assert other["data"]["publish"]["id"] != first["id"]
        # It comes back on another socket, under a name of its own choice.
        async with Client(f"ws://{place}/c8/p/w", {}) as later:
            await later.open(
                client_token=opened["client_token"], client_id="my name", persistent=True
            )
            assert await later.publish("changed", id="vote") == first


async def test_a_legacy_client_that_knows_nothing_of_it_sees_no_difference(place: str) -> None:
    """Its id is made up or claimed as ever, and it is the same publisher when it comes back."""
    async with Client(f"ws://{place}/c8/p/old", {}) as first:
        opened = await first.open(persistent=True)
        assert not opened["client_id"].startswith("signed-")
        published = await first.publish(1, id="key")
    async with Client(f"ws://{place}/c8/p/old", {}) as second:
        await second.open(persistent=True, client_id=opened["client_id"])
        assert await second.publish(1, id="key") == published
    # The token in the reply is for a client that does: of an id of its own, good from then on.
    async with Client(f"ws://{place}/c8/p/old", {}) as third:
        reply = await third.open(client_token=opened["client_token"])
        assert reply["client_id"] == IDS.verified(opened["client_token"])


async def test_nobody_opens_a_legacy_socket_as_a_signed_client(place: str) -> None:
    client = IDS.signed(IDS.new_id())
    user = jwt.encode({"sub": "u1"}, JWT_SECRET, "HS256")
    for fields in ({}, {"token": user}, {"client_token": ""}):
        async with Client(f"ws://{place}/c8/p/w", {}) as posing:
            await posing.send(type="open", client_id=client.id, **fields)
            assert await posing.closed() == CloseCode.UNAUTHORIZED
            code, message = await posing.error()
            assert (code, message.partition(";")[0]) == (
                "FORBIDDEN",
                f"open.client_id is '{client.id}'",
            )
    async with Client(f"ws://{place}/c8/p/w", {}) as itself:
        reply = await itself.open(client_id=client.id, client_token=client.token, token=user)
        assert (reply["client_id"], reply["username"]) == (client.id, "u1")
