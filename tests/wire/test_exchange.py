"""One request and its one answer, without a connection."""

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

import pytest

from app.telemetry.log_context import Asked
from app.wire.exchange import Exchange, RequestHead

HEAD = RequestHead(b"/graphql", [])


class Connection:
    """What was written to it, and what runs for it."""

    access_log = False

    def __init__(self) -> None:
        self.written: list[tuple[bytes, bytes, bytes, bool]] = []
        self.running: list[Coroutine[Any, Any, None]] = []

    def write_answer(
        self, status_line: bytes, fields: bytes, body: bytes, keep_alive: bool
    ) -> None:
        self.written.append((status_line, fields, body, keep_alive))

    def run(self, answering: Coroutine[Any, Any, None], asked: Asked) -> None:
        assert asked.connection_id == "unknown"
        self.running.append(answering)


def test_it_is_answered_once() -> None:
    connection = Connection()
    exchange = Exchange(connection, HEAD, b"body", keep_alive=True, number=7)
    assert not exchange.response_started
    for _ in range(2):
        exchange.answer(HTTPStatus.BAD_REQUEST, b"a: b\r\n", b"why")
    line = b"HTTP/1.1 400 Bad Request\r\n"
    fields = b"a: b\r\nx-request-id: unknown-7\r\ncontent-length: 3\r\n"
    assert connection.written == [(line, fields, b"why", True)]
    assert exchange.response_started


def test_a_request_keeps_the_id_that_its_client_gave_it() -> None:
    for given, kept in ((b"a.b-c_1", "a.b-c_1"), (b"a b", None), (b"x" * 65, None), (b"", None)):
        head = RequestHead(b"/graphql", [(b"x-request-id", given)])
        exchange = Exchange(Connection(), head, b"", keep_alive=True, number=1)
        assert exchange.request_id == (kept or "unknown-1")


def test_a_client_that_is_gone_is_told_nothing() -> None:
    connection = Connection()
    exchange = Exchange(connection, HEAD, b"", keep_alive=True)
    exchange.disconnected = True
    exchange.message_event.set()
    exchange.answer(HTTPStatus.OK, b"", b"")
    assert not connection.written


async def _raise(error: type[BaseException]) -> None:
    raise error


@pytest.mark.anyio
async def test_what_fails_or_is_cancelled_is_the_last_on_its_connection() -> None:
    for error in (ZeroDivisionError, asyncio.CancelledError):
        connection = Connection()
        Exchange(connection, HEAD, b"", keep_alive=True).run(_raise(error))
        (answering,) = connection.running
        if error is asyncio.CancelledError:
            with pytest.raises(error):
                await answering
        else:
            await answering
        ((line, _, _, keep_alive),) = connection.written
        assert line.startswith(b"HTTP/1.1 500 ")
        assert not keep_alive
