"""Every transport, asked with a token over a real socket: whom the server sees, or its refusal."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.transports.legacy.served import Client

__all__ = [
    "HTTP",
    "PAGE",
    "TRANSPORTS",
    "Ask",
    "GraphQLClient",
    "Refusal",
    "asking",
]

PAGE: Final = "https://video.example"
"""An origin that the service is to allow."""
_WHOAMI: Final = "{ viewer { username } }"
_LISTEN: Final = 'subscription { messages(projectId: "p", widgetId: "w") { id } }'


@dataclass(frozen=True)
class Refusal:
    """How a transport refused."""

    outcome: int
    """The status, or the close code."""
    code: str
    message: str


Ask = Callable[[str, str], Awaitable[str | Refusal | None]]
"""With host and port, and a token: the user name that the server sees, or the refusal."""


_clients: Final[dict[str, httpx.AsyncClient]] = {}


@asynccontextmanager
async def asking(place: str) -> AsyncIterator[None]:
    """Let the transports over HTTP share a client: one for each question takes most of the time."""
    async with httpx.AsyncClient(timeout=10, trust_env=False, verify=False) as client:
        _clients[place] = client
        yield
        del _clients[place]


async def _over_http(
    place: str, token: str, method: str, query: str = _WHOAMI, **headers: str
) -> str | Refusal | None:
    sent = {"authorization": f"Bearer {token}"} | headers
    url = f"http://{place}/graphql"
    asked: dict[str, Any] = {"params" if method == "GET" else "json": {"query": query}}
    async with _clients[place].stream(method, url, headers=sent, **asked) as response:
        if response.status_code == 200 and query is _LISTEN:
            return "it listens"
        answer = json.loads(await response.aread())
    if "errors" in answer:
        (error,) = answer["errors"]
        return Refusal(response.status_code, error["extensions"]["code"], error["message"])
    return str(answer["data"]["viewer"]["username"])


async def post(place: str, token: str) -> str | Refusal | None:
    return await _over_http(place, token, "POST")


async def post_of_a_page(place: str, token: str) -> str | Refusal | None:
    """It goes through ASGI, which an ordinary POST does not."""
    return await _over_http(place, token, "POST", origin=PAGE)


async def get(place: str, token: str) -> str | Refusal | None:
    return await _over_http(place, token, "GET")


async def event_stream(place: str, token: str) -> str | Refusal | None:
    return await _over_http(place, token, "POST", _LISTEN, accept="text/event-stream")


async def multipart(place: str, token: str) -> str | Refusal | None:
    accept = "multipart/mixed; subscriptionSpec=1.0, application/json"
    return await _over_http(place, token, "GET", _LISTEN, accept=accept)


class GraphQLClient:
    """One GraphQL socket, driven frame by frame; frames of other operations wait their turn."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._start = "start" if socket.subprotocol == "graphql-ws" else "subscribe"
        self._unread: list[dict[str, Any]] = []

    @classmethod
    async def opened(
        cls, place: str, dialect: str = "graphql-transport-ws", **payload: Any
    ) -> "GraphQLClient":
        """Connect and introduce oneself."""
        socket = await connect(
            f"ws://{place}/graphql", subprotocols=[Subprotocol(dialect)], max_size=None
        )
        client = cls(socket)
        await client.send(type="connection_init", payload=payload)
        return client

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def start(self, operation_id: str, query: str, **variables: Any) -> None:
        """Begin an operation."""
        payload = {"query": query, "variables": variables}
        await self.send(id=operation_id, type=self._start, payload=payload)

    async def next(self, operation_id: str | None = None) -> dict[str, Any]:
        """Return the next frame of an operation; None: of the connection."""
        for place, frame in enumerate(self._unread):
            if frame.get("id") == operation_id:
                return self._unread.pop(place)
        async with asyncio.timeout(10):
            while True:
                frame = dict(json.loads(await self.socket.recv()))
                if frame.get("id") == operation_id:
                    return frame
                self._unread.append(frame)

    async def answer(self, operation_id: str, query: str, **variables: Any) -> dict[str, Any]:
        """Return the response to a query or mutation."""
        await self.start(operation_id, query, **variables)
        payload = (await self.next(operation_id))["payload"]
        assert (await self.next(operation_id))["type"] == "complete"
        return dict(payload)

    async def closed(self) -> tuple[int, str]:
        """Return the close code and the reason with which the server ends this."""
        async with asyncio.timeout(10):
            try:
                while True:
                    self._unread.append(json.loads(await self.socket.recv()))
            except ConnectionClosed:
                return self.socket.close_code or 0, self.socket.close_reason or ""


async def _over_a_socket(place: str, token: str, dialect: str) -> str | Refusal | None:
    client = await GraphQLClient.opened(place, dialect, authToken=token)
    try:
        frame = await client.next()
        if frame["type"] == "connection_ack":
            return str((await client.answer("1", _WHOAMI))["data"]["viewer"]["username"])
        # In the older one, before the close.
        error = frame["payload"]
        code, reason = await client.closed()
        assert error["message"].startswith(reason.rstrip("…")[:100])
        return Refusal(code, error["extensions"]["code"], error["message"])
    except ConnectionClosed:
        code, reason = await client.closed()
        return Refusal(code, "", reason)
    finally:
        await client.socket.close()


async def transport_ws(place: str, token: str) -> str | Refusal | None:
    return await _over_a_socket(place, token, "graphql-transport-ws")


async def graphql_ws(place: str, token: str) -> str | Refusal | None:
    return await _over_a_socket(place, token, "graphql-ws")


async def legacy(place: str, token: str) -> str | Refusal | None:
    async with Client(f"ws://{place}/c8/p/w", {}) as client:
        await client.send(type="open", token=token)
        try:
            return str((await client.next("open"))["username"])
        except ConnectionClosed:
            code, message = await client.error()
            return Refusal(client.socket.close_code or 0, code, message)


HTTP: Final = (post, post_of_a_page, get, event_stream, multipart)

TRANSPORTS: Final = (*HTTP, transport_ws, graphql_ws, legacy)
