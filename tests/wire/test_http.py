"""What a slow or greedy peer may hold, seen from a raw socket."""

import asyncio
import re

import pytest
from websockets.asyncio.client import connect

from app.wire.http import BoundedHttpProtocol, HttpBounds
from tests.transports.raw_http import GET, UPGRADE, Application, answer_to, head, served
from tests.wire.wire import client_frame

pytestmark = pytest.mark.anyio

QUICK = HttpBounds(
    header_timeout_seconds=0.3, body_timeout_seconds=0.3, max_header_bytes=4096, max_connections=3
)


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET / HTTP/1.1\r\na: " + b"b" * 5000 + b"\r\n\r\n"],
        [b"GET / HTTP/1.1\r\na: ", b"b" * 3000, b"b" * 3000],
        [b"GET / HTTP/1.1\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(1000))],
    ],
)
async def test_a_head_that_is_too_large_is_refused(parts: list[bytes]) -> None:
    async with served(QUICK) as port:
        answer = await answer_to(port, *parts, pause_seconds=0.02)
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


async def test_a_target_that_is_too_long_is_refused_as_such() -> None:
    """RFC 9112, 3: 414 for "a request-target longer than any URI it wishes to parse"."""
    async with served(QUICK) as port:
        for ending in (b" HTTP/1.1\r\n\r\n", b""):
            answer = await answer_to(port, b"GET /" + b"b" * 5000 + ending)
            assert answer.startswith(b"HTTP/1.1 414 ")


async def test_trailers_count_as_head() -> None:
    async with served(QUICK) as port:
        head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
        answer = await answer_to(port, head + b"t: " + b"x" * 5000 + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("rubbish", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"{}\r\n\r\n"])
async def test_what_is_not_http_is_refused(rubbish: bytes) -> None:
    async with served(QUICK) as port:
        assert (await answer_to(port, rubbish)).startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_an_upgraded_connection_is_free_of_http_clocks() -> None:
    async with served(QUICK) as port, connect(f"ws://127.0.0.1:{port}/echo") as socket:
        await asyncio.sleep(0.5)
        await socket.send("a")
        assert await socket.recv() == "a"


async def test_bodies_in_pieces_and_pipelined_requests_are_answered_as_before() -> None:
    async with served(QUICK) as port:
        answer = await answer_to(
            port,
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345",
            b"67890" + GET + GET[:-2] + b"connection: close\r\n\r\n",
            pause_seconds=0.1,
        )
        assert answer.count(b"HTTP/1.1 200 OK") == 3


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) \w", answer)]


GARBAGE = b"\x00garbage\r\n\r\n"
CHUNKED = head(b"Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (GARBAGE, 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (head(b"Transfer-Encoding: gzip, chunked"), 501),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 5000 + b"\r\n\r\n", 431),
        # Broken in its body, when it waits for its turn.
        (CHUNKED + b"1\r\nx\r\nnot a size\r\n", 400),
        (GET[:-2], 408),
        (CHUNKED + b"1\r\nx\r\n", 408),
    ],
)
async def test_good_requests_before_a_bad_one_get_their_answers(bad: bytes, status: int) -> None:
    """They lost them: the refusal was written at once, and the connection closed."""
    application = Application()
    async with served(QUICK, app=application.app) as port:
        held = head(method=b"GET", target=b"/held")
        asking = asyncio.create_task(answer_to(port, held + GET * 4 + bad))
        await application.holding.wait()
        if status == 408:
            await asyncio.sleep(QUICK.header_timeout_seconds * 1.5)
        application.held.set()
        answer = await asking
    assert statuses(answer) == [200] * 5 + [status]


async def test_a_body_that_breaks_is_answered_once_though_the_application_reads_it() -> None:
    async with served(QUICK) as port:
        answer = await answer_to(
            port, GET + CHUNKED, b"1\r\nx\r\n", b"no size\r\n", pause_seconds=0.02
        )
        assert statuses(answer) == [200, 400]


async def test_nothing_is_answered_after_the_request_that_closes() -> None:
    """RFC 9112, 9.6: "The server MUST NOT process any further requests received on that
    connection."
    """
    closing = head(b"Connection: close", method=b"GET")
    async with served(QUICK) as port:
        for more in (GET, GARBAGE, UPGRADE):
            answer = await answer_to(port, GET + closing + more)
            assert answer.count(b"HTTP/1.1 ") == 2


async def test_an_upgrade_waits_for_the_answers_before_it() -> None:
    """The handshake's answer came first, and the other one in the middle of frames."""
    application = Application()
    async with served(app=application.app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(method=b"GET", target=b"/held") + GET + UPGRADE)
        await application.holding.wait()
        writer.write(client_frame(0x1, b"early"))
        application.held.set()
        assert (await reader.readuntil(b"held")).startswith(b"HTTP/1.1 200")
        assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert await reader.readexactly(7) == b"\x81\x05early"
        writer.close()


async def test_a_stream_with_a_request_behind_it_is_told_that_its_client_is_gone() -> None:
    """uvicorn tells the newest request only: such a stream went on for ever."""
    application = Application()
    async with served(app=application.app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(method=b"GET", target=b"/endless"))
        await reader.readuntil(b"begun")
        writer.write(GET)
        await asyncio.sleep(0.05)
        writer.transport.abort()
        async with asyncio.timeout(5):
            await application.gone.wait()


async def test_half_a_head_behind_a_large_body_is_not_taken_for_a_large_head() -> None:
    async with served(QUICK) as port:
        body = head(b"Content-Length: 60000") + b"x" * 60_000
        answer = await answer_to(port, body[:100], body[100:] + GET[:9], GET[9:], pause_seconds=0.1)
        assert answer.count(b"HTTP/1.1 200 OK") == 2
        parts = [head(b"Content-Length: 100") + b"x" * 50, b"x" * 50 + body[:100], body[100:]]
        answer = await answer_to(port, *parts, pause_seconds=0.05)
        assert answer.count(b"HTTP/1.1 200 OK") == 2


async def test_chunks_of_one_byte_are_taken_but_not_their_extensions_without_end() -> None:
    async with served(QUICK) as port:
        small = b"1\r\nx\r\n" * 3000
        answer = await answer_to(port, CHUNKED, small, small + b"0\r\n\r\n", pause_seconds=0.02)
        assert answer.endswith(b"6000")
        extended = [b"1;%b\r\nx\r\n" % (b"e" * 1000)] * 10
        answer = await answer_to(port, CHUNKED, *extended, pause_seconds=0.01)
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_content_that_was_refused_unread_is_not_kept_with_the_connection() -> None:
    """An answer kept what had come of its request for as long as the connection was idle."""
    connections: list[BoundedHttpProtocol] = []

    class Noted(BoundedHttpProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            connections.append(self)

    async with served(protocol=Noted) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(b"Content-Length: 300000", target=b"/early") + b"x" * 200_000)
        await reader.readuntil(b"early")
        assert [len(connection.cycle.body) for connection in connections] == [0]
        writer.write(b"x" * 100_000 + GET)
        assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
        writer.close()
