"""What an endpoint can make of an upgrade request, over real sockets, byte by byte."""

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus

import pytest
from starlette.types import Scope
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from app.wire.session import Outlet
from app.wire.upgrade import SOCKET, Upgrade
from tests.transports.raw_http import UPGRADE, answer_to, served
from tests.wire.wire import (
    Echo,
    Endpoint,
    attaching,
    client_frame,
    connected,
    serving,
    until,
)

pytestmark = pytest.mark.anyio

REQUEST = UPGRADE.replace(b"/echo", b"/")
MASKED = re.compile(rb"internal server error \(id [0-9a-z-]+\)")


async def answered(endpoint: Endpoint) -> bytes:
    """Return all that is said to a client that never says goodbye itself."""
    async with serving(endpoint) as (_, port):
        return await answer_to(port, REQUEST + client_frame(0x8, b"\x03\xe8"))


async def test_a_session_takes_over_in_the_subprotocol_that_the_endpoint_chose() -> None:
    session = Echo()

    async def endpoint(websocket: WebSocket) -> None:
        assert websocket.scope["subprotocols"] == ["other", "talk"]
        assert websocket.query_params["a"] == "b"
        Upgrade.of(websocket.scope).accept(session, subprotocol="talk", max_outbound_bytes=100)

    offered = [Subprotocol("other"), Subprotocol("talk")]
    async with serving(endpoint, headers=[("x-own", "yes")]) as (server, port):
        async with connect(f"ws://127.0.0.1:{port}/?a=b", subprotocols=offered) as client:
            assert client.response is not None
            assert client.response.headers["x-own"] == "yes"
            assert client.subprotocol == "talk"
            await client.send("text ü")
            assert await client.recv() == "text ü"
            assert not server.server_state.tasks
        await session.ended.wait()


@pytest.mark.parametrize(("frame", "said"), [(b"why", b"\x81\x03why"), (None, b"")])
async def test_it_may_accept_only_to_say_why_not(frame: bytes | None, said: bytes) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        Upgrade.of(websocket.scope).close(4406, "not acceptable", frame=frame)

    head, _, frames = (await answered(endpoint)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"subprotocol" not in head.lower()
    assert frames == said + b"\x88\x10\x11\x36not acceptable"


async def test_it_may_deny_with_a_status_and_a_text() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        Upgrade.of(websocket.scope).deny(HTTPStatus.UNAUTHORIZED, "no entry")

    async with serving(endpoint) as (server, port):
        with pytest.raises(InvalidStatus) as denied:
            await connect(f"ws://127.0.0.1:{port}/")
        await until(lambda: not server.server_state.connections)
    assert denied.value.response.status_code == 401
    assert denied.value.response.headers["content-type"] == "text/plain; charset=utf-8"
    assert bytes(denied.value.response.body or b"") == b"no entry"


async def test_an_unknown_path_is_denied_by_the_router_with_403() -> None:
    async with serving(attaching(Echo())) as (_, port):
        answer = await answer_to(port, UPGRADE)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert sorted(line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]) == [
        b"connection",
        b"content-length",
        b"date",
        b"server",
    ]
    assert not body


async def fails(_websocket: WebSocket) -> None:
    raise RuntimeError("secret")


async def says_nothing(_websocket: WebSocket) -> None:
    """Leave the peer waiting."""


async def speaks_asgi(websocket: WebSocket) -> None:
    await websocket.accept()


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        (fails, "secret"),
        (says_nothing, "the application has not answered an upgrade request"),
        (speaks_asgi, "a socket has no events to receive: answer by Upgrade.of(scope)"),
    ],
)
async def test_one_that_fails_is_a_500_that_tells_an_id_and_no_internals(
    endpoint: Endpoint, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await answered(endpoint)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert MASKED.fullmatch(answer.partition(b"\r\n\r\n")[2])
    (record,) = [r for r in caplog.records if r.name == "app.masking"]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == told


async def test_asgi_s_own_answers_are_not_understood(caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket._send({"type": "websocket.accept"})

    assert (await answered(endpoint)).startswith(b"HTTP/1.1 500 ")
    assert "websocket.accept is not understood: answer by Upgrade.of(scope)" in caplog.text


async def test_one_that_fails_when_the_socket_is_open_is_closed_with_1011() -> None:
    """Nobody knows how far its session had come; it hung until the peer gave up."""

    class Failing(Echo):
        def opened(self, outlet: Outlet) -> None:
            super().opened(outlet)
            raise RuntimeError("secret")

    session = Failing()
    async with serving(attaching(session)) as (_, port), connected(port) as wire:
        first, payload = await wire.frame()
        await session.ended.wait()
    assert (first, payload[:2]) == (0x88, (1011).to_bytes(2, "big"))
    assert MASKED.fullmatch(payload[2:])


@pytest.mark.parametrize(
    "again",
    [
        lambda upgrade: upgrade.accept(Echo(), subprotocol=None, max_outbound_bytes=1),
        lambda upgrade: upgrade.close(1000, ""),
        lambda upgrade: upgrade.deny(HTTPStatus.FORBIDDEN),
    ],
    ids=["accept", "close", "deny"],
)
async def test_a_request_is_answered_once(again: Callable[[Upgrade], None]) -> None:
    raised: list[str] = []

    async def endpoint(websocket: WebSocket) -> None:
        upgrade = Upgrade.of(websocket.scope)
        upgrade.close(1000, "")
        with pytest.raises(RuntimeError) as error:
            again(upgrade)
        raised.append(str(error.value))

    assert (await answered(endpoint)).endswith(b"\r\n\r\n\x88\x02\x03\xe8")
    assert raised == ["an upgrade request can be answered only once"]


async def test_a_request_that_waits_when_the_process_ends_is_a_503() -> None:
    asked, ending, session = asyncio.Event(), asyncio.Event(), Echo()

    async def endpoint(websocket: WebSocket) -> None:
        asked.set()
        await ending.wait()
        # Too late, and no mistake of the endpoint.
        Upgrade.of(websocket.scope).accept(session, subprotocol=None, max_outbound_bytes=1)

    async with serving(endpoint) as (server, port):
        answer = asyncio.create_task(answer_to(port, REQUEST))
        await asked.wait()
        server.should_exit = True
        assert (await answer).startswith(b"HTTP/1.1 503 ")
        ending.set()
    assert not session.is_open.is_set()
    assert session.events == []


async def test_a_request_whose_call_is_cancelled_is_not_left_waiting() -> None:
    async def endpoint(_websocket: WebSocket) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    assert (await answered(endpoint)).startswith(b"HTTP/1.1 503 ")


async def test_a_session_is_not_opened_for_a_peer_that_is_gone() -> None:
    asked, gone, session = asyncio.Event(), asyncio.Event(), Echo()

    async def endpoint(websocket: WebSocket) -> None:
        asked.set()
        await gone.wait()
        Upgrade.of(websocket.scope).accept(session, subprotocol=None, max_outbound_bytes=1)

    async with serving(endpoint) as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await asked.wait()
        writer.transport.abort()
        await until(lambda: not server.server_state.connections)
        gone.set()
        await until(lambda: not server.server_state.tasks)
    assert session.events == []


class Offered:
    """An endpoint that is called as it is."""

    def __init__(self, said: Callable[[Upgrade], object]) -> None:
        self._said = said

    def answer(self, upgrade: Upgrade, scope: Scope) -> None:
        assert scope["extensions"][SOCKET] is upgrade
        assert scope["path"] == "/offered"
        self._said(upgrade)


async def offered(said: Callable[[Upgrade], object], path: bytes = b"/offered") -> bytes:
    """Return all that such an endpoint, or the application behind it, says."""
    request = UPGRADE.replace(b"/echo", path)
    async with served(endpoints={"/offered": Offered(said)}) as port:
        return await answer_to(port, request + client_frame(0x8, b"\x03\xe8"))


async def test_an_endpoint_that_is_offered_answers_as_an_application_does() -> None:
    def accept(upgrade: Upgrade) -> None:
        upgrade.accept(Echo(), subprotocol=None, max_outbound_bytes=100)

    async def endpoint(websocket: WebSocket) -> None:
        accept(Upgrade.of(websocket.scope))

    def dated(answer: bytes) -> bytes:
        return re.sub(rb"\r\n(date|server): [^\r]*", b"", answer)

    assert dated(await offered(accept)) == dated(await answered(endpoint))
    denied = await offered(lambda upgrade: upgrade.deny(HTTPStatus.FORBIDDEN, "no entry"))
    assert denied.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert denied.endswith(b"no entry")


@pytest.mark.parametrize("said", [lambda _: 1 / 0, lambda _: None])
async def test_an_offered_endpoint_that_fails_or_says_nothing_is_a_masked_500(
    said: Callable[[Upgrade], object],
) -> None:
    answer = await offered(said)
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert MASKED.search(answer)


async def test_where_none_is_offered_the_application_is_called() -> None:
    assert (await offered(lambda _: 1 / 0, b"/echo")).startswith(b"HTTP/1.1 101 ")
    assert (await offered(lambda _: 1 / 0, b"/offered/")).startswith(b"HTTP/1.1 403 ")
