"""Ordinary requests answered without an ASGI call, byte by byte."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Literal

import pytest

from app.wire.exchange import Exchange
from app.wire.http import BoundedHttpProtocol, HttpBounds
from app.wire.shared import Shared
from tests.transports.raw_http import GET, answer_to, head, served

pytestmark = pytest.mark.anyio

How = Literal["now", "later", "never", "fails", "declines"]


class Answers:
    """A responder that says what it was sent, and notes what it saw."""

    def __init__(self, how: How = "now", answer: bytes | None = None) -> None:
        self.targets = frozenset({b"/ordinary", b"/"})
        self.how = how
        self.says = answer
        self.seen: list[Exchange] = []
        self.go_on = asyncio.Event()

    def respond(self, exchange: Exchange) -> bool:
        if self.how == "declines":
            return False
        self.seen.append(exchange)
        if self.how == "now":
            self._answer(exchange)
        else:
            exchange.run(self._later(exchange))
        return True

    async def _later(self, exchange: Exchange) -> None:
        if self.how == "fails":
            raise RuntimeError("SELECT secret")
        if self.how == "never":
            await self.go_on.wait()
        await asyncio.sleep(0)
        self._answer(exchange)

    def _answer(self, exchange: Exchange) -> None:
        said = b"<%b>" % exchange.body if self.says is None else self.says
        exchange.answer(HTTPStatus.OK, b"x-by: responder\r\n", said)


def post(body: bytes, *lines: bytes, target: bytes = b"/ordinary") -> bytes:
    return head(b"Content-Length: %d" % len(body), *lines, target=target) + body


LAST = b"Connection: close"


@pytest.mark.parametrize("how", ["now", "later"])
async def test_what_comes_whole_is_answered_by_the_responder(how: How) -> None:
    responder = Answers(how)
    async with served(keep_alive_seconds=0.2, responder=responder) as port:
        answer = await answer_to(
            port, post(b"one"), post(b"second"), post(b"3", LAST), pause_seconds=0.05
        )
    connection_id = responder.seen[0].head.peer.connection_id
    begin = b"HTTP/1.1 200 OK\r\nx-by: responder\r\nx-request-id: %b-" % connection_id.encode()
    assert answer == (
        b"%b1\r\ncontent-length: 5\r\n\r\n<one>"
        b"%b2\r\ncontent-length: 8\r\n\r\n<second>"
        b"%b3\r\ncontent-length: 3\r\nconnection: close\r\n\r\n<3>"
    ) % (begin, begin, begin)
    first, second, last = (exchange.head for exchange in responder.seen)
    assert first is second, "said again, it is the same head"
    assert last is not first
    assert first.fields == [(b"host", b"a")]


async def test_a_handler_on_uvicorn_s_logger_does_not_take_the_short_way_away() -> None:
    """uvicorn takes any handler there for the wish to log each request."""
    logger, handler = logging.getLogger("uvicorn.access"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        async with served(responder=Answers()) as port:
            answer = await answer_to(port, post(b"1", LAST))
        assert b"x-by: responder" in answer
    finally:
        logger.removeHandler(handler)


async def test_a_head_that_changes_is_judged_anew() -> None:
    responder = Answers()
    async with served(keep_alive_seconds=0.2, responder=responder) as port:
        await answer_to(
            port,
            post(b"a", b"Authorization: Bearer one"),
            post(b"a", b"Authorization: Bearer two"),
            post(b"a", b"Authorization: Bearer two", LAST),
            pause_seconds=0.05,
        )
    seen = [dict(exchange.head.fields).get(b"authorization") for exchange in responder.seen]
    assert seen == [b"Bearer one", b"Bearer two", b"Bearer two"]
    assert len({id(exchange.head) for exchange in responder.seen}) == 3


@pytest.mark.parametrize(
    "parts",
    [
        [GET],
        [post(b"abc", target=b"/?a")],
        [post(b"abc", b"Expect: 100-continue", target=b"/")],
        [post(b"abc", target=b"/").replace(b"HTTP/1.1", b"HTTP/1.0")],
        [post(b"abc", target=b"/")[:-1], b"c"],
        [post(b"abc", target=b"/") + b"GET / HTTP/1.1\r\n", b"host: a\r\n\r\n"],
    ],
)
async def test_what_is_not_ordinary_goes_to_the_application(parts: list[bytes]) -> None:
    responder = Answers()
    async with served(keep_alive_seconds=0.2, responder=responder) as port:
        answer = await answer_to(port, *parts, pause_seconds=0.05)
    assert b"HTTP/1.1 200 OK" in answer
    assert not responder.seen


async def test_what_the_responder_declines_goes_to_the_application() -> None:
    async with served(keep_alive_seconds=0.2, responder=Answers("declines")) as port:
        answer = await answer_to(
            port, post(b"abc", target=b"/"), post(b"abcd", LAST, target=b"/"), pause_seconds=0.05
        )
    assert [part[:1] for part in answer.split(b"\r\n\r\n")[1:]] == [b"3", b"4"]


async def test_requests_sent_at_once_are_answered_in_their_order() -> None:
    responder = Answers("never")
    async with served(keep_alive_seconds=0.2, responder=responder) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"first"))
        async with asyncio.timeout(5):
            while not responder.seen:  # noqa: ASYNC110 - a list tells nobody
                await asyncio.sleep(0.005)
        writer.write(post(b"ab", target=b"/") + post(b"abc", LAST, target=b"/"))
        await asyncio.sleep(0.05)
        responder.go_on.set()
        answer = await reader.read()
        writer.close()
    assert [part[:7] for part in answer.split(b"\r\n\r\n")[1:]] == [b"<first>", b"2HTTP/1", b"3"]


async def test_a_client_that_does_not_read_is_answered_no_more() -> None:
    """Answers would pile up in memory: nobody waits in a call that returns at once."""
    responder = Answers(answer=b"x" * 4_000_000)
    async with served(keep_alive_seconds=0.2, responder=responder) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**10)
        for _ in range(40):
            writer.write(post(b"abc", target=b"/"))
            await asyncio.sleep(0.005)
        assert 1 <= len(responder.seen) <= 10, "160 MB are owed to whoever reads nothing"
        writer.transport.abort()


async def test_a_failure_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with served(keep_alive_seconds=0.2, responder=Answers("fails")) as port:
        answer = await answer_to(port, post(b"abc"))
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"connection: close" in answer
    assert b"SELECT" not in answer
    assert "SELECT secret" in caplog.text


async def test_nothing_is_written_to_a_client_that_is_gone() -> None:
    responder = Answers("never")
    async with served(keep_alive_seconds=0.2, responder=responder) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"abc"))
        async with asyncio.timeout(5):
            while not responder.seen:  # noqa: ASYNC110 - a list tells nobody
                await asyncio.sleep(0.005)
            writer.transport.abort()
            while not responder.seen[0].disconnected:  # noqa: ASYNC110 - neither does a flag
                await asyncio.sleep(0.005)
        responder.go_on.set()
        await asyncio.sleep(0.02)
    assert not responder.seen[0].response_complete


async def test_its_bounds_hold_for_the_next_request_too() -> None:
    """The clock of a head that stops half-way runs on a connection that was answered."""
    bounds = HttpBounds(header_timeout_seconds=0.3, max_header_bytes=4096)
    async with served(bounds, 0.2, responder=Answers()) as port:
        first = post(b"abc")
        assert b"HTTP/1.1 408" in await answer_to(port, first, first[:20], pause_seconds=0.05)
        long = post(b"abc", b"a: " + b"b" * 5000)
        assert b"HTTP/1.1 431" in await answer_to(port, first, long, pause_seconds=0.05)
        assert b"HTTP/1.1 400" in await answer_to(
            port, first, b"nonsense\r\n\r\n", pause_seconds=0.05
        )


async def test_a_process_that_goes_away_says_that_an_answer_is_the_last() -> None:
    responder = Answers()
    states: list[tuple[Any, Any]] = []

    class Noted(BoundedHttpProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            states.append((self.server_state, self.config))

    async with served(responder=responder, protocol=Noted) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for leaving in (False, True):
            writer.write(post(b"one"))
            answer = await reader.readuntil(b"<one>")
            assert (b"connection: close\r\n" in answer) is leaving
            Shared.of(*states[0]).leaving = True
        assert await reader.read() == b""
        writer.close()
