"""The ways on which a GraphQL request reaches the service: the columns of a table."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import urlencode

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

__all__ = ["STREAMS", "WAYS", "Answer", "Stream", "Way", "next_frame"]

_JSON: Final = {"content-type": "application/json"}
_PATIENCE_SECONDS: Final = 20


@dataclass(frozen=True)
class Answer:
    """What one request was answered with."""

    status: int
    """Of HTTP, or the close code of a socket that the request ended; 101: the socket lives."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    data: Any = None
    executed: bool = False
    """Whether the response has `data`, if only null."""
    reason: str = ""
    """Of the close."""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def codes(self) -> list[str]:
        """`extensions.code` of each error."""
        return [error["extensions"]["code"] for error in self.errors]


Way: TypeAlias = Callable[[httpx.AsyncClient, bytes], Awaitable[Answer]]
"""Sends the JSON text of a request, and returns the first that is answered."""


class Stream(Protocol):
    """A way that carries subscriptions too."""

    __name__: str

    async def __call__(
        self, http: httpx.AsyncClient, body: bytes, *, begins: bool = False
    ) -> Answer:
        """Send a request; one that `begins` is a subscription, and has begun on return."""


def _answer(response: httpx.Response) -> Answer:
    is_json = "json" in response.headers.get("content-type", "")
    return _read(response.status_code, response.json() if is_json else {}, response.headers)


def _read(status: int, payload: dict[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    errors, executed = payload.get("errors", []), "data" in payload
    return Answer(status, errors, payload.get("data"), executed, headers=headers or {})


async def post(http: httpx.AsyncClient, body: bytes) -> Answer:
    """The ordinary request, which ASGI never sees."""
    return _answer(await http.post("/graphql", content=body, headers=_JSON))


async def strict_post(http: httpx.AsyncClient, body: bytes) -> Answer:
    """With the media type whose status tells a refusal."""
    accept = {"accept": "application/graphql-response+json"}
    return _answer(await http.post("/graphql", content=body, headers=_JSON | accept))


async def chunked_post(http: httpx.AsyncClient, body: bytes) -> Answer:
    """A body of unknown length, which takes the long way, through ASGI."""

    async def chunks() -> Any:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    return _answer(await http.post("/graphql", content=chunks(), headers=_JSON))


async def get(http: httpx.AsyncClient, body: bytes) -> Answer:
    """The members of the body in the address, each as it is written there."""
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    parts = {
        name: json.loads(bytes(value)) if bytes(value).startswith(b'"') else bytes(value)
        for name, value in members.items()
        if bytes(value) != b"null"
    }
    query = urlencode(parts)
    return _answer(await http.get(f"/graphql?{query}", headers={"accept": "application/json"}))


async def event_stream(http: httpx.AsyncClient, body: bytes, *, begins: bool = False) -> Answer:
    """Server-sent events."""
    return await _stream(http, body, "text/event-stream", begins)


async def multipart(http: httpx.AsyncClient, body: bytes, *, begins: bool = False) -> Answer:
    """Apollo's multipart responses; what is no subscription is answered as JSON."""
    accept = "multipart/mixed;subscriptionSpec=1.0, application/json"
    return await _stream(http, body, accept, begins)


async def _stream(http: httpx.AsyncClient, body: bytes, accept: str, begins: bool) -> Answer:
    headers = _JSON | {"accept": accept}
    async with (
        asyncio.timeout(_PATIENCE_SECONDS),
        http.stream("POST", "/graphql", content=body, headers=headers) as response,
    ):
        if begins and "content-length" not in response.headers:
            return Answer(response.status_code, headers=response.headers)
        await response.aread()
        payloads = re.findall(r"^(?:data: )?(\{.+\})\r?$", response.text, re.MULTILINE)
        payload = json.loads(payloads[0])
        return _read(response.status_code, payload.get("payload") or payload, response.headers)


async def transport_socket(http: httpx.AsyncClient, body: bytes, *, begins: bool = False) -> Answer:
    """`graphql-transport-ws`."""
    return await _socket(http, "graphql-transport-ws", b"subscribe", body, begins)


async def legacy_graphql_socket(
    http: httpx.AsyncClient, body: bytes, *, begins: bool = False
) -> Answer:
    """`graphql-ws`, as subscriptions-transport-ws speaks it."""
    return await _socket(http, "graphql-ws", b"start", body, begins)


async def _socket(
    http: httpx.AsyncClient, subprotocol: str, begin: bytes, body: bytes, begins: bool
) -> Answer:
    async with (
        asyncio.timeout(_PATIENCE_SECONDS),
        connect(
            f"ws://{http.base_url.netloc.decode()}/graphql",
            subprotocols=[Subprotocol(subprotocol)],
            compression=None,
            additional_headers={
                name: http.headers[name] for name in ("authorization",) if name in http.headers
            },
        ) as socket,
    ):
        await socket.send('{"type":"connection_init"}')
        assert await next_frame(socket) == {"type": "connection_ack"}
        await socket.send(b'{"id":"1","type":"%b","payload":%b}' % (begin, body), text=True)
        if begins:
            # It says nothing; the operation after it waits until it has begun, and is refused.
            await socket.send(b'{"id":"2","type":"%b","payload":{"query":"{"}}' % begin, text=True)
        frame = await next_frame(socket)
        if isinstance(frame, int):
            return Answer(frame, reason=socket.close_reason or "")
        if frame["id"] == "2":
            return Answer(101)
        payload = frame["payload"]
        if frame["type"] == "error":
            return Answer(101, payload if isinstance(payload, list) else [payload])
        return _read(101, payload)


async def next_frame(socket: ClientConnection) -> Any:
    """Return the next frame, decoded, or the code of the close."""
    try:
        return json.loads(await socket.recv())
    except ConnectionClosed:
        return socket.close_code


STREAMS: Final[tuple[Stream, ...]] = (
    event_stream,
    multipart,
    transport_socket,
    legacy_graphql_socket,
)
"""Those that carry subscriptions."""
WAYS: Final[tuple[Way, ...]] = (post, strict_post, chunked_post, get, *STREAMS)
