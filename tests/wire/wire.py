"""A client that says exactly the bytes it is told to, and sees the bytes that come."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.utils import apply_mask

from app.wire.http import BoundedHttpProtocol
from app.wire.session import Outlet, Session
from app.wire.upgrade import Upgrade
from app.wire.websocket import WebSocketProtocol
from tests.wire.upgrade import request

MASK = b"\x12\x34\x56\x78"

Endpoint = Callable[[WebSocket], Any]


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True
) -> bytes:
    length = len(payload)
    bit = 0x80 if mask else 0
    if length < 126:
        header = bytes((fin << 7 | opcode, bit | length))
    elif length < 1 << 16:
        header = bytes((fin << 7 | opcode, bit | 126)) + length.to_bytes(2, "big")
    else:
        header = bytes((fin << 7 | opcode, bit | 127)) + length.to_bytes(8, "big")
    return header + (MASK + apply_mask(payload, MASK) if mask else payload)


class Echo:
    """A session that answers each text with itself and notes what happens to it."""

    def __init__(self, *, accepts: bool = True) -> None:
        self.accepts = accepts
        self.busy = False
        self.outlet: Outlet | None = None
        self.events: list[str | bytes] = []
        self.is_open = asyncio.Event()
        self.ended = asyncio.Event()
        self.shutting_down = asyncio.Event()
        self.on_text: Callable[[Outlet, bytes], None] = lambda outlet, text: outlet.send(text)

    def opened(self, outlet: Outlet) -> None:
        self.outlet = outlet
        if self.accepts:
            outlet.accept_peer()
        self.is_open.set()

    def received(self, text: str | bytes) -> None:
        assert self.outlet is not None
        assert isinstance(text, bytes)
        self.events.append(text)
        self.on_text(self.outlet, text)

    def received_binary(self) -> None:
        self.events.append("binary")

    def lost(self) -> None:
        self.events.append("lost")
        self.ended.set()

    def shutdown(self) -> None:
        self.events.append("shutdown")
        self.shutting_down.set()


def attaching(session: Session, max_outbound_bytes: int = 2**20) -> Endpoint:
    async def endpoint(websocket: WebSocket) -> None:
        Upgrade.of(websocket.scope).accept(
            session, subprotocol=None, max_outbound_bytes=max_outbound_bytes
        )

    return endpoint


@contextlib.asynccontextmanager
async def serving(
    app: Endpoint | Starlette, **settings: Any
) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """Serve an application, or an endpoint at `/`, with our classes; yields server and port."""
    if not isinstance(app, Starlette):
        app = Starlette(routes=[WebSocketRoute("/", app)])
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=BoundedHttpProtocol,
            ws=WebSocketProtocol,
            lifespan="off",
            # None: uvicorn's own would keep the root's handlers from every later test.
            log_config=None,
            log_level="critical",
            access_log=False,
            **settings,
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield server, listening.getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def until(condition: Callable[[], object]) -> None:
    """Wait for what no event tells, for at most 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - uvicorn's sets have no event
            await asyncio.sleep(0.005)


class Wire:
    """A connection whose handshake is done."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def frame(self) -> tuple[int, bytes]:
        """Read one frame: its first byte and its payload."""
        first, length = await self.reader.readexactly(2)
        assert not length & 0x80, "a server's frames are not masked"
        if length >= 126:
            wide = await self.reader.readexactly(2 if length == 126 else 8)
            length = int.from_bytes(wide, "big")
        return first, await self.reader.readexactly(length)

    async def closed(self) -> int:
        """Read up to the close frame and the end that follows it; return the code."""
        while True:
            first, payload = await self.frame()
            if first == 0x88:
                return int.from_bytes(payload[:2], "big")

    async def at_end(self) -> bool:
        return await self.reader.read() == b""


@contextlib.asynccontextmanager
async def connected(
    port: int, receive_buffer: int | None = None, target: bytes = b"/"
) -> AsyncIterator[Wire]:
    """Open a raw connection and do the handshake."""
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=client, limit=1024)
    try:
        writer.write(request(target))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455, 1.3's example.
        yield Wire(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
