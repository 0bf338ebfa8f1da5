"""What a peer owes, until when, and how many there may be: seen from a raw socket."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
from websockets.asyncio.client import connect

from app.wire.http_connection import HttpBounds
from app.wire.shared import Shared
from tests.transports.raw_http import GET, Application, answer_to, head, served
from tests.wire.wire import serving, until

pytestmark = pytest.mark.anyio

Leaving: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter, Callable[[], None]]
"""A connection, and what makes the process go away."""

QUICK = HttpBounds(
    header_timeout_seconds=0.3, body_timeout_seconds=0.3, max_header_bytes=4096, max_connections=3
)


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
    async with served(QUICK) as port:
        assert (await answer_to(port)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_half_a_head_is_not_held_for_ever() -> None:
    async with served(QUICK) as port:
        assert b"did not arrive in time" in await answer_to(port, GET[:-4])


async def test_a_head_that_drips_is_not_held_for_ever() -> None:
    async with served(QUICK) as port:
        answer = await _drip(port, b"GET / HTTP/1.1\r\n", b"a: b\r\n")
        assert answer == b"reset" or answer.startswith(b"HTTP/1.1 408")


async def test_half_a_second_head_on_a_kept_connection_is_not_held_for_ever() -> None:
    async with served(QUICK) as port:
        answer = await answer_to(port, GET, GET[:-4], pause_seconds=0.1)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"HTTP/1.1 408" in answer


async def test_blank_lines_do_not_keep_an_idle_connection_open() -> None:
    async with served(QUICK) as port:
        answer = await _drip(port, GET, b"\r\n")
        assert answer == b"reset" or b"HTTP/1.1 408" in answer


async def test_half_a_body_is_not_held_for_ever() -> None:
    async with served(QUICK) as port:
        half = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345"
        assert (await answer_to(port, half)).startswith(b"HTTP/1.1 408")


async def test_the_rest_of_a_body_already_answered_is_not_awaited_for_ever() -> None:
    async with served(QUICK) as port:
        half = b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345"
        answer = await answer_to(port, half)
        assert answer.startswith(b"HTTP/1.1 200")


async def test_an_idle_connection_is_kept_for_as_long_as_configured() -> None:
    async with served(QUICK, keep_alive_seconds=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n0")
        # Longer than a head may take: the clock of the head must not run.
        await asyncio.sleep(0.6)
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
        assert await reader.read() == b""
        writer.close()


async def test_connections_above_the_bound_are_told_so_and_leave_the_others_alone() -> None:
    async with served(QUICK) as port, connect(f"ws://127.0.0.1:{port}/echo") as first:
        url = f"ws://127.0.0.1:{port}/echo"
        async with connect(url), connect(url):
            refused = await answer_to(port)
            assert refused.startswith(b"HTTP/1.1 503 Service Unavailable")
            assert b"\r\nretry-after: 1\r\n" in refused
            await first.send("still here")
            assert await first.recv() == "still here"
        # Sockets count only while they are open.
        async with connect(url) as again:
            await again.send("free again")
            assert await again.recv() == "free again"


@asynccontextmanager
async def leaving(monkeypatch: pytest.MonkeyPatch, seconds: float) -> AsyncIterator[Leaving]:
    """Serve, and let one connection be made before the process goes away."""
    monkeypatch.setattr("app.wire.http_connection._LAST_REQUEST_SECONDS", seconds)
    async with serving(Application().app) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: server.server_state.connections)

        def leave() -> None:
            Shared.of(server.server_state, server.config).leaving = True
            server.should_exit = True

        yield reader, writer, leave
        async with asyncio.timeout(5):
            assert await reader.read() == b"", "closed, not reset"
        writer.close()


async def test_a_process_that_goes_away_answers_who_has_just_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its request may be on its way: whoever met a restart so was reset."""
    async with leaving(monkeypatch, 30) as (reader, writer, leave):
        leave()
        await asyncio.sleep(0.2)  # uvicorn looks every 0.1 s
        writer.write(GET)
        answer = await reader.readuntil(b"\r\n\r\n0")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in answer


async def test_it_answers_a_request_whose_body_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with leaving(monkeypatch, 0) as (reader, writer, leave):
        writer.write(head(b"Content-Length: 6") + b"abc")
        await asyncio.sleep(0.05)
        leave()
        await asyncio.sleep(0.2)
        writer.write(b"def")
        answer = await reader.readuntil(b"\r\n\r\n6")
        assert b"connection: close\r\n" in answer


async def test_it_closes_quiet_connections_at_once_and_others_when_they_are_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with leaving(monkeypatch, 0.4) as (reader, writer, leave):
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 OK\r\n")
        answered = time.monotonic()
        leave()
        assert await reader.read() == b""
        assert time.monotonic() - answered >= 0.35
    async with leaving(monkeypatch, 0) as (_reader, _writer, leave):
        leave()
