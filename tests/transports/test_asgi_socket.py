"""Sessions over uvicorn's stock WebSocket class: real sockets, a real client."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.transports.asgi_socket import DIRECT, run_session
from app.transports.socket import Outlet

pytestmark = pytest.mark.anyio


class Recorder:
    """A session that notes what happens to it and answers as it is told to."""

    def __init__(self) -> None:
        self.outlet: Outlet | None = None
        self.events: list[str | bytes] = []
        self.ended = asyncio.Event()
        self.on_text: Callable[[Outlet, str | bytes], None] = lambda _outlet, _text: None

    def opened(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.events.append("opened")

    def received(self, text: str | bytes) -> None:
        assert self.outlet is not None
        self.events.append(text)
        self.on_text(self.outlet, text)

    def received_binary(self) -> None:
        self.events.append("binary")
        assert self.outlet is not None
        self.outlet.close(1003, "text only")

    def lost(self) -> None:
        self.events.append("lost")
        self.ended.set()

    def shutdown(self) -> None:
        self.events.append("shutdown")
        assert self.outlet is not None
        self.outlet.close(1012, "restarting")


@contextlib.asynccontextmanager
async def serving(
    session: Recorder, tasks: set[asyncio.Task[Any]] | None = None, max_outbound_bytes: int = 2**20
) -> AsyncIterator[str]:
    async def endpoint(websocket: WebSocket) -> None:
        task = asyncio.current_task()
        if tasks is not None and task is not None:
            tasks.add(task)
        await run_session(
            websocket, session, subprotocol="talk", max_outbound_bytes=max_outbound_bytes
        )

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[WebSocketRoute("/", endpoint)]),
            ws="websockets-sansio",
            lifespan="off",
            log_level="critical",
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        await running


def talking(url: str) -> connect:
    return connect(url, subprotocols=[Subprotocol("talk")], compression=None)


async def closed_with(client: ClientConnection) -> int:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await client.recv()
    assert client.close_code is not None
    return client.close_code


async def test_a_conversation_from_the_handshake_to_the_client_s_goodbye() -> None:
    session = Recorder()
    session.on_text = lambda outlet, text: outlet.send(b"echo " + str(text).encode())
    async with serving(session) as url, talking(url) as client:
        assert client.subprotocol == "talk"
        await client.send("one")
        await client.send("zwei ü")
        assert [await client.recv(), await client.recv()] == ["echo one", "echo zwei ü"]
        await client.close()
        await session.ended.wait()
    assert session.events == ["opened", "one", "zwei ü", "lost"]


async def test_what_was_sent_before_a_close_arrives_and_nothing_after_it() -> None:
    session = Recorder()

    def answer(outlet: Outlet, _text: str | bytes) -> None:
        outlet.send(b"first")
        outlet.send(b"second")
        outlet.close(4400, "x" * 200)
        outlet.send(b"never")
        outlet.close(1000, "only the first close counts")

    session.on_text = answer
    async with serving(session) as url, talking(url) as client:
        await client.send("go")
        assert [await client.recv(), await client.recv()] == ["first", "second"]
        assert await closed_with(client) == 4400
        assert client.close_reason == "x" * 123
        await session.ended.wait()
    assert session.events.count("lost") == 1


async def test_a_binary_message_is_told_to_the_session() -> None:
    session = Recorder()
    async with serving(session) as url, talking(url) as client:
        await client.send(b"\x00")
        assert await closed_with(client) == 1003
        await session.ended.wait()
    assert session.events == ["opened", "binary", "lost"]


async def test_more_than_the_bound_waiting_closes_with_1013() -> None:
    session = Recorder()

    def flood(outlet: Outlet, _text: str | bytes) -> None:
        for _ in range(50):
            outlet.send(b"m" * 1000)

    session.on_text = flood
    async with serving(session, max_outbound_bytes=10_000) as url, talking(url) as client:
        await client.send("flood me")
        assert await closed_with(client) == 1013
        await session.ended.wait()
    assert session.events == ["opened", "flood me", "lost"]


async def test_a_paused_session_is_given_nothing_until_it_resumes() -> None:
    session = Recorder()
    paused = asyncio.Event()

    def pause(outlet: Outlet, text: str | bytes) -> None:
        if text == "one":
            outlet.pause_reading()
            paused.set()

    session.on_text = pause
    async with serving(session) as url, talking(url) as client:
        await client.send("one")
        await paused.wait()
        await client.send("two")
        # Both loops turn until the ping, sent after "two", is read by the server's parser.
        await client.ping()
        for _ in range(20):
            await asyncio.sleep(0)
        assert session.events == ["opened", "one"]
        assert session.outlet is not None
        session.outlet.resume_reading()
        await client.close()
        await session.ended.wait()
    assert session.events == ["opened", "one", "two", "lost"]


async def test_cancelling_the_call_shuts_the_session_down_with_1012() -> None:
    session, tasks = Recorder(), set[asyncio.Task[Any]]()
    session.on_text = lambda outlet, _text: outlet.send(b"yes")
    async with serving(session, tasks) as url, talking(url) as client:
        await client.send("here")
        assert await client.recv() == "yes"
        tasks.pop().cancel()
        assert await closed_with(client) == 1012
        await session.ended.wait()
    assert session.events == ["opened", "here", "shutdown", "lost"]


async def test_a_server_with_the_direct_extension_is_handed_the_session() -> None:
    attached: list[tuple[object, str | None, int]] = []

    class Direct:
        def attach(
            self, session: object, *, subprotocol: str | None, max_outbound_bytes: int
        ) -> None:
            attached.append((session, subprotocol, max_outbound_bytes))

    async def nothing(*_: object) -> Any:
        raise AssertionError("neither received from nor sent to")

    session = Recorder()
    scope = {"type": "websocket", "headers": [], "extensions": {DIRECT: Direct()}}
    websocket = WebSocket(scope, nothing, nothing)
    await run_session(websocket, session, subprotocol="talk", max_outbound_bytes=7)
    assert attached == [(session, "talk", 7)]
