"""The last answer can be read, whatever the peer still sends; and nobody lingers for ever."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.wire.http import HttpBounds
from tests.transports.raw_http import GET, LONG, UPGRADE, answer_to, head, served
from tests.wire.wire import client_frame

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Transports differ in how they close."""
    return "asyncio", {"use_uvloop": request.param}


CUT_OFF = (ConnectionResetError, BrokenPipeError)
UPLOAD = b"x" * (8 * 1024 * 1024)


@asynccontextmanager
async def uploading(
    port: int, *parts: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send everything first, and only then look at what came, as simple clients do."""
    client = socket.socket()
    # Small: the answer is here before the upload is through.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=client)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("first", "status"),
    [
        pytest.param(
            head(b"Content-Length: %d" % len(UPLOAD), target=b"/refused"), 413, id="upload"
        ),
        pytest.param(head(b"Transfer-Encoding: gzip"), 400, id="bad head"),
        pytest.param(head(b"Transfer-Encoding: gzip, chunked"), 501, id="unknown coding"),
        pytest.param(b"GET / HTTP/1.1\r\na: ", 431, id="endless head"),
        pytest.param(b"GET /", 414, id="endless target"),
        pytest.param(b"\0", 400, id="garbage"),
        pytest.param(
            head(b"Transfer-Encoding: chunked") + b"1;", 413, id="endless chunk extension"
        ),
        pytest.param(UPGRADE.replace(b"/echo", b"/no"), 403, id="refused handshake"),
        pytest.param(UPGRADE.replace(b"Version: 13", b"Version: 12"), 426, id="handshake of old"),
    ],
)
async def test_an_answer_before_the_end_of_an_upload_can_be_read(first: bytes, status: int) -> None:
    """Closing with unread data resets the connection, and took the answer with it."""
    async with served() as port, uploading(port, first, UPLOAD) as (reader, _):
        async with asyncio.timeout(5):
            answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"connection: close" in answer.lower()


async def test_503_can_be_read_by_a_client_that_speaks_first() -> None:
    upload = head(b"Content-Length: 8388608")
    async with (
        served(HttpBounds(max_connections=0)) as port,
        uploading(port, upload, UPLOAD) as (reader, _),
    ):
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")


async def test_408_can_be_read_by_a_client_that_sends_on() -> None:
    bounds = HttpBounds(body_timeout_seconds=0.1)
    async with (
        served(bounds) as port,
        uploading(port, head(b"Content-Length: 50000000")) as (reader, writer),
    ):
        while not (answer := await _read_some(reader)):
            writer.write(b"x" * 1000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        writer.write(b"x" * 1000)
        await writer.drain()


async def _read_some(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(reader.read(1000), 0.02)
    return b""


async def _send_on(writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(5):
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)


async def test_nobody_lingers_for_longer_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.wire.http_connection._LINGER_SECONDS", 0.1)
    async with served() as port, uploading(port, b"\0") as (reader, writer):
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        with pytest.raises(CUT_OFF):
            await _send_on(writer)


async def test_nobody_makes_us_read_more_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.wire.http_connection.MAX_DROPPED_BYTES", 1_000_000)
    upload = head(b"Content-Length: 90000000", target=b"/early")
    async with served() as port:
        for first in (b"\0", upload):
            with pytest.raises(CUT_OFF):
                async with asyncio.timeout(5), uploading(port, first, *[UPLOAD] * 4):
                    pass


async def test_a_client_that_reads_slowly_gets_a_long_last_answer_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.wire.http_connection._LINGER_SECONDS", 0.2)
    request = head(method=b"GET", target=b"/long")
    came, end = 0, asyncio.get_running_loop().time() + 1
    async with served() as port, uploading(port, request) as (reader, _):
        while part := await reader.read(100_000):
            came += len(part)
            if asyncio.get_running_loop().time() < end:
                await asyncio.sleep(0.02)
    assert came > LONG


async def test_a_client_that_does_not_read_its_last_answer_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`close` waits for what is unsent, however long: such a connection stayed for ever."""
    monkeypatch.setattr("app.wire.http_connection._LINGER_SECONDS", 0.1)
    monkeypatch.setattr("app.wire.http_connection._STALLED_SECONDS", 0.3)
    request = head(method=b"GET", target=b"/long")
    async with served() as port, uploading(port, request) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(CUT_OFF):
            await _send_on(writer)


async def test_a_connection_that_both_close_is_gone_at_once() -> None:
    async with served() as port:
        async with asyncio.timeout(2):
            assert (await answer_to(port, b"\0")).startswith(b"HTTP/1.1 400")


async def test_frames_behind_the_handshake_are_not_lost() -> None:
    """A client may send its first frame right behind the handshake; it was dropped."""
    frames = [client_frame(0x1, b"%d" % number) for number in range(3)]
    for parts in (
        [UPGRADE + b"".join(frames)],
        [UPGRADE + frames[0][:3], frames[0][3:] + frames[1] + frames[2]],
        [GET + UPGRADE + b"".join(frames)],
    ):
        async with served() as port, uploading(port, *parts) as (reader, _):
            await reader.readuntil(b"HTTP/1.1 101 Switching Protocols\r\n")
            await reader.readuntil(b"\r\n\r\n")
            for number in range(3):
                assert await reader.readexactly(3) == b"\x81\x01%d" % number
