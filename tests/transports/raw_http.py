"""A small application behind the real HTTP class, and a client that says exact bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from uvicorn.server import ServerState

from app.wire.exchange import RESPONDER, Responder
from app.wire.http import BoundedHttpProtocol, HttpBounds
from app.wire.upgrade import ENDPOINTS, SocketEndpoint, Upgrade
from app.wire.websocket import WebSocketProtocol
from tests.wire.echo import echo

__all__ = ["GET", "LONG", "UPGRADE", "Application", "answer_to", "head", "served"]

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LONG = 8_000_000
"""Bytes of an answer that no socket buffer holds."""
UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def head(*lines: bytes, method: bytes = b"POST", target: bytes = b"/") -> bytes:
    """Return a request's head with a Host."""
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: a", *lines, b"", b""])


class Application:
    """Answers with the length of the body, early or late, or what it was asked.

    Attributes:
        held: `/held` answers when it is set.
        holding: set once a request waits there.
        gone: set once a stream has noticed that its client is gone.
    """

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self.holding = asyncio.Event()
        self.gone = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/", self._length, methods=["GET", "POST"]),
                Route("/early", self._early, methods=["POST"]),
                Route("/refused", self._refused, methods=["POST"]),
                Route("/head", self._head, methods=["GET", "POST"]),
                Route("/held", self._held),
                Route("/long", self._long),
                Route("/stream", self._stream),
                Route("/endless", self._endless),
                WebSocketRoute("/echo", echo),
                WebSocketRoute("/no", self._no),
            ]
        )

    async def _length(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    async def _early(self, _request: Request) -> PlainTextResponse:
        return PlainTextResponse("early")

    async def _refused(self, _request: Request) -> PlainTextResponse:
        # As the GraphQL endpoint does.
        return PlainTextResponse("too large", 413, headers={"connection": "close"})

    async def _head(self, request: Request) -> JSONResponse:
        await request.body()
        return JSONResponse({"path": request.url.path, "headers": request.headers.items()})

    async def _held(self, _request: Request) -> PlainTextResponse:
        self.holding.set()
        await self.held.wait()
        return PlainTextResponse("held")

    async def _long(self, _request: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * LONG, headers={"connection": "close"})

    async def _stream(self, _request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            for part in (b"one ", b"two ", b"three"):
                yield part

        return StreamingResponse(parts())

    async def _endless(self, request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            try:
                yield b"begun"
                while not await request.is_disconnected():  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
            finally:
                self.gone.set()

        return StreamingResponse(parts())

    async def _no(self, socket: WebSocket) -> None:
        Upgrade.of(socket.scope).deny(HTTPStatus.FORBIDDEN, "no entry")


@asynccontextmanager
async def served(
    bounds: HttpBounds | None = None,
    keep_alive_seconds: float = 1,
    app: ASGIApp | None = None,
    protocol: type[BoundedHttpProtocol] = BoundedHttpProtocol,
    responder: Responder | None = None,
    endpoints: Mapping[str, SocketEndpoint] = MappingProxyType({}),
    *,
    access_log: bool = False,
) -> AsyncIterator[int]:
    """Serve on a free port; yields it."""
    config = uvicorn.Config(
        app or Application().app,
        log_config=None,
        ws=WebSocketProtocol,
        timeout_keep_alive=cast(int, keep_alive_seconds),
        # With it each request is left to uvicorn, which writes the line.
        access_log=access_log,
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        partial(
            protocol, config, state, {RESPONDER: responder, ENDPOINTS: endpoints.get}, bounds=bounds
        ),
        "127.0.0.1",
        0,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            upgraded: Any = connection
            (getattr(connection, "transport", None) or upgraded._transport).abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)


async def answer_to(port: int, *parts: bytes, pause_seconds: float = 0) -> bytes:
    """Send the parts, then read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_seconds)
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
