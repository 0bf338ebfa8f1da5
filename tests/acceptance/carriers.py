"""Every way to ask the service for something, one request on a connection of its own each."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.served import Served

__all__ = ["HTTP", "LEGACY", "SOCKETS", "STREAMS", "Answer", "Asker", "Carrier", "Socket"]

_PATIENCE_SECONDS: Final = 20


@dataclass(frozen=True)
class Asker:
    """Who asks: what a trusted proxy and a token say."""

    address: str = "198.51.100.1"
    token: str | None = None
    padding_bytes: int = 0
    """What the request's head is made longer by."""

    def headers(self) -> dict[str, str]:
        """Return the head's fields, the token's aside."""
        padding = {"x-padding": "x" * self.padding_bytes} if self.padding_bytes else {}
        return {"x-forwarded-for": self.address, **padding}


@dataclass(frozen=True)
class Answer:
    """How a request ended."""

    status: int | None = None
    """Of HTTP, or of a refused handshake."""
    close: int | None = None
    """The code a socket was closed with."""
    error: dict[str, Any] | None = None
    """The first error: code, message, retryAfterMs."""

    @property
    def code(self) -> str | None:
        """The error's code."""
        return None if self.error is None else str(self.error["code"])


@dataclass(frozen=True)
class Carrier(ABC):
    """One transport."""

    name: str

    @abstractmethod
    def asking(
        self, served: Served, asker: Asker, document: str, variables: dict[str, Any]
    ) -> AbstractAsyncContextManager[Answer]:
        """Ask, and keep the connection open until the context ends."""

    async def ask(self, served: Served, asker: Asker, document: str, **variables: Any) -> Answer:
        """Ask, and hang up."""
        async with (
            asyncio.timeout(_PATIENCE_SECONDS),
            self.asking(served, asker, document, variables) as answer,
        ):
            return answer


@dataclass(frozen=True)
class Http(Carrier):
    """A request that has one response, or a stream of them."""

    method: str
    accept: str
    chunked: bool = False

    @asynccontextmanager
    async def asking(
        self, served: Served, asker: Asker, document: str, variables: dict[str, Any]
    ) -> AsyncIterator[Answer]:
        headers = asker.headers() | {"accept": self.accept}
        if asker.token is not None:
            headers["authorization"] = f"Bearer {asker.token}"
        async with httpx.AsyncClient(base_url=served.url, timeout=_PATIENCE_SECONDS) as client:
            if self.method == "GET":
                params = {"query": document, "variables": json.dumps(variables)}
                request = client.build_request("GET", "/graphql", params=params, headers=headers)
            else:
                body = json.dumps({"query": document, "variables": variables}).encode()
                headers["content-type"] = "application/json"
                content = _chunks(body) if self.chunked else body
                request = client.build_request("POST", "/graphql", content=content, headers=headers)
            response = await client.send(request, stream=True)
            # Held: a stream is closed with the iterator over its lines.
            lines = response.aiter_lines()
            try:
                yield Answer(response.status_code, error=await _first_error(response, lines))
            finally:
                await response.aclose()


class Socket(Carrier):
    """A WebSocket with a protocol on it."""

    @abstractmethod
    def url(self, served: Served, variables: dict[str, Any]) -> str:
        """Return where it is opened."""

    @abstractmethod
    def begin(self, asker: Asker) -> dict[str, Any]:
        """Return the first frame."""

    @abstractmethod
    def request(self, key: str, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the frame of a request."""

    @asynccontextmanager
    async def opened(
        self, served: Served, asker: Asker, variables: dict[str, Any]
    ) -> AsyncIterator[ClientConnection | Answer]:
        """Open a socket, and say nothing; or return how the handshake was refused."""
        subprotocols = None if self is LEGACY else [Subprotocol(self.name)]
        async with AsyncExitStack() as stack:
            try:
                socket = await stack.enter_async_context(
                    connect(
                        self.url(served, variables),
                        subprotocols=subprotocols,
                        additional_headers=asker.headers(),
                    )
                )
            except InvalidStatus as refused:
                yield Answer(refused.response.status_code)
            else:
                yield socket

    @asynccontextmanager
    async def asking(
        self, served: Served, asker: Asker, document: str, variables: dict[str, Any]
    ) -> AsyncIterator[Answer]:
        async with self.opened(served, asker, variables) as socket:
            if isinstance(socket, Answer):
                yield socket
            else:
                begin = self.begin(asker)
                yield await self.told(socket, begin, self.request("1", document, variables))

    async def told(self, socket: ClientConnection, *frames: dict[str, Any]) -> Answer:
        """Say the frames, and return what comes of the last one."""
        error = None
        key = str(frames[-1].get("id", frames[-1].get("ref"))) if frames else None
        try:
            for frame in frames:
                await socket.send(json.dumps(frame))
            while True:
                came = json.loads(await socket.recv())
                if came["type"] in {"next", "data", "ack", "result", "error"}:
                    error = _error_of(came)
                    if str(came.get("id", came.get("ref"))) == key:
                        return Answer(error=error)
        except ConnectionClosed as closed:
            return Answer(close=closed.rcvd.code if closed.rcvd else 1006, error=error)


@dataclass(frozen=True)
class GraphQLSocket(Socket):
    """One of the two subprotocols."""

    start: str

    def url(self, served: Served, variables: dict[str, Any]) -> str:  # noqa: ARG002
        return f"{served.ws_url}/graphql"

    def begin(self, asker: Asker) -> dict[str, Any]:
        payload = {} if asker.token is None else {"authToken": asker.token}
        return {"type": "connection_init", "payload": payload}

    def request(self, key: str, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        operation = {"query": document, "variables": variables}
        return {"id": key, "type": self.start, "payload": operation}


@dataclass(frozen=True)
class LegacySocket(Socket):
    """The legacy protocol: the document is a frame's type, the variables its other fields."""

    def url(self, served: Served, variables: dict[str, Any]) -> str:
        return f"{served.ws_url}/c8/{variables['project']}/{variables['widget']}"

    def begin(self, asker: Asker) -> dict[str, Any]:
        token = {} if asker.token is None else {"token": asker.token}
        return {"type": "open", "persistent": True, **token}

    def request(self, key: str, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        return {"type": document, "ref": key, **variables}


def _error_of(frame: dict[str, Any]) -> dict[str, Any] | None:
    if frame["type"] == "error" and "code" in frame:
        return frame
    payload: Any = frame.get("payload")
    if frame["type"] == "error":
        return _flat(payload if isinstance(payload, dict) else payload[0])
    return _of_response(payload) if isinstance(payload, dict) else None


def _of_response(response: dict[str, Any]) -> dict[str, Any] | None:
    errors = response.get("errors")
    return _flat(errors[0]) if errors else None


def _flat(error: dict[str, Any]) -> dict[str, Any]:
    return {"message": error["message"], **error.get("extensions", {})}


async def _first_error(
    response: httpx.Response, lines: AsyncIterator[str]
) -> dict[str, Any] | None:
    """Read a response, or a stream as far as its first payload."""
    kind = response.headers.get("content-type", "")
    if kind.startswith("text/event-stream"):
        async for line in lines:
            if line.startswith("data: {"):
                return _of_response(json.loads(line.removeprefix("data: ")))
        return None
    if kind.startswith("multipart/mixed"):
        async for line in lines:
            if line.startswith('{"payload"'):
                part = json.loads(line)
                return _of_response(part["payload"] or part)
        return None
    body = await response.aread()
    return _of_response(json.loads(body)) if "json" in kind else None


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    middle = len(body) // 2
    yield body[:middle]
    yield body[middle:]


HTTP: Final = (
    Http("POST", "POST", "application/json"),
    # Not in one piece: it is answered by the application, and not by the short way.
    Http("POST in chunks", "POST", "application/graphql-response+json", chunked=True),
    Http("GET", "GET", "application/json"),
)
STREAMS: Final = (
    Http("SSE", "POST", "text/event-stream"),
    Http("SSE by GET", "GET", "text/event-stream"),
    Http("multipart", "POST", "multipart/mixed; subscriptionSpec=1.0, application/json"),
)
SOCKETS: Final = (
    GraphQLSocket("graphql-transport-ws", "subscribe"),
    GraphQLSocket("graphql-ws", "start"),
)
LEGACY: Final = LegacySocket("legacy")
