"""What a slow or greedy peer may hold, seen from a raw socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from uvicorn.server import ServerState
from websockets.asyncio.client import connect

from app.transports.http_protocol import BoundedHttpProtocol, HttpBounds
from app.transports.websocket import WebSocketProtocol

pytestmark = pytest.mark.anyio

QUICK = HttpBounds(
    header_timeout_seconds=0.3, body_timeout_seconds=0.3, max_header_bytes=4096, max_connections=3
)
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def _body(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def _early(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("early")


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


@asynccontextmanager
async def _served(bounds: HttpBounds = QUICK, keep_alive_seconds: int = 5) -> AsyncIterator[int]:
    app = Starlette(
        routes=[
            Route("/", _body, methods=["GET", "POST"]),
            Route("/early", _early, methods=["POST"]),
            WebSocketRoute("/echo", _echo),
        ]
    )
    config = uvicorn.Config(
        app, log_config=None, ws=WebSocketProtocol, timeout_keep_alive=keep_alive_seconds
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        partial(BoundedHttpProtocol, config, state, {}, bounds=bounds), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)


async def _answer(port: int, *parts: bytes, pause_seconds: float = 0) -> bytes:
    """Send the parts, then read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_seconds)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


async def _drip(port: int, first: bytes, drop: bytes) -> bytes:
    """Send `first`, then `drop` again and again until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def drip() -> None:
        while True:
            writer.write(drop)
            await asyncio.sleep(0.02)

    writer.write(first)
    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        dripping.cancel()
        writer.close()


async def test_a_peer_that_says_nothing_is_let_go() -> None:
    async with _served() as port:
        assert (await _answer(port)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_half_a_head_is_not_held_for_ever() -> None:
    async with _served() as port:
        assert b"did not arrive in time" in await _answer(port, GET[:-4])


async def test_a_head_that_drips_is_not_held_for_ever() -> None:
    async with _served() as port:
        answer = await _drip(port, b"GET / HTTP/1.1\r\n", b"a: b\r\n")
        assert answer == b"reset" or answer.startswith(b"HTTP/1.1 408")


async def test_half_a_second_head_on_a_kept_connection_is_not_held_for_ever() -> None:
    async with _served() as port:
        answer = await _answer(port, GET, GET[:-4], pause_seconds=0.1)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"HTTP/1.1 408" in answer


async def test_blank_lines_do_not_keep_an_idle_connection_open() -> None:
    async with _served() as port:
        answer = await _drip(port, GET, b"\r\n")
        assert answer == b"reset" or b"HTTP/1.1 408" in answer


async def test_half_a_body_is_not_held_for_ever() -> None:
    async with _served() as port:
        head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345"
        assert (await _answer(port, head)).startswith(b"HTTP/1.1 408")


async def test_the_rest_of_a_body_already_answered_is_not_awaited_for_ever() -> None:
    async with _served() as port:
        head = b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345"
        answer = await _answer(port, head)
        assert answer.startswith(b"HTTP/1.1 200")


async def test_an_idle_connection_is_kept_for_as_long_as_configured() -> None:
    async with _served(keep_alive_seconds=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n0")
        # Longer than a head may take: the clock of the head must not run.
        await asyncio.sleep(0.6)
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET / HTTP/1.1\r\na: " + b"b" * 5000 + b"\r\n\r\n"],
        [b"GET / HTTP/1.1\r\na: ", b"b" * 3000, b"b" * 3000],
        [b"GET /" + b"b" * 5000 + b" HTTP/1.1\r\n\r\n"],
        [b"GET / HTTP/1.1\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(1000))],
    ],
)
async def test_a_head_that_is_too_large_is_refused(parts: list[bytes]) -> None:
    async with _served() as port:
        answer = await _answer(port, *parts, pause_seconds=0.02)
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


async def test_trailers_count_as_head() -> None:
    async with _served() as port:
        head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
        answer = await _answer(port, head + b"t: " + b"x" * 5000 + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("rubbish", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"{}\r\n\r\n"])
async def test_what_is_not_http_is_refused(rubbish: bytes) -> None:
    async with _served() as port:
        assert (await _answer(port, rubbish)).startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_connections_above_the_bound_are_told_so_and_leave_the_others_alone() -> None:
    async with _served() as port, connect(f"ws://127.0.0.1:{port}/echo") as first:
        url = f"ws://127.0.0.1:{port}/echo"
        async with connect(url), connect(url):
            assert (await _answer(port)).startswith(b"HTTP/1.1 503 Service Unavailable")
            await first.send("still here")
            assert await first.recv() == "still here"
        # Sockets count only while they are open.
        async with connect(url) as again:
            await again.send("free again")
            assert await again.recv() == "free again"


async def test_an_upgraded_connection_is_free_of_http_clocks() -> None:
    async with _served() as port, connect(f"ws://127.0.0.1:{port}/echo") as socket:
        await asyncio.sleep(0.5)
        await socket.send("a")
        assert await socket.recv() == "a"


async def test_bodies_in_pieces_and_pipelined_requests_are_answered_as_before() -> None:
    async with _served() as port:
        answer = await _answer(
            port,
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345",
            b"67890" + GET + GET[:-2] + b"connection: close\r\n\r\n",
            pause_seconds=0.1,
        )
        assert answer.count(b"HTTP/1.1 200 OK") == 3
