"""The WebSocket endpoint over a real server and a real client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from app.defaults import MAX_ANONYMOUS_BYTES
from app.transports.graphql.websocket import GraphQLSocket
from app.transports.origins import OriginPolicy
from app.wire.session import MAX_UNACCEPTED_BYTES
from tests.transports.graphql.sample import Sample, viewer_of
from tests.transports.test_refusals import forget_refusals
from tests.wire import wire

pytestmark = pytest.mark.anyio

TRANSPORT, LEGACY = Subprotocol("graphql-transport-ws"), Subprotocol("graphql-ws")


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Sample, str]]:
    sample = Sample()
    sockets = GraphQLSocket(
        sample.executor, viewer_of, sample.context, OriginPolicy(["https://video.example"])
    )
    app = Starlette(routes=[WebSocketRoute("/graphql", sockets)])
    async with wire.serving(app) as (_, port):
        yield sample, f"ws://127.0.0.1:{port}/graphql"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([TRANSPORT], TRANSPORT),
        ([LEGACY], LEGACY),
        ([LEGACY, TRANSPORT], TRANSPORT),
        ([Subprotocol("soap"), LEGACY], LEGACY),
    ],
)
async def test_the_newer_subprotocol_is_preferred(
    offered: list[Subprotocol], chosen: Subprotocol
) -> None:
    async with serving() as (sample, url), connect(url, subprotocols=offered) as client:
        assert client.subprotocol == chosen
        await client.send('{"type":"connection_init"}')
        assert json.loads(await client.recv()) == {"type": "connection_ack"}
        await client.close()
        async with asyncio.timeout(20):
            while not sample.contexts[0].closed:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("offered", [None, [Subprotocol("soap")]])
async def test_without_a_known_subprotocol_the_socket_is_closed(
    offered: list[Subprotocol] | None,
) -> None:
    async with serving() as (_, url), connect(url, subprotocols=offered) as client:
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4406


async def test_pages_of_foreign_origins_are_refused() -> None:
    async with serving() as (_, url):
        with pytest.raises(InvalidStatus):
            await connect(url, subprotocols=[TRANSPORT], origin=Origin("https://evil.example"))
        client = await connect(
            url, subprotocols=[TRANSPORT], origin=Origin("https://video.example")
        )
        await client.close()


async def test_a_refused_page_and_a_refused_token_leave_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_refusals(monkeypatch)
    async with serving() as (_, url):
        for _ in range(2):
            with pytest.raises(InvalidStatus):
                await connect(url, subprotocols=[TRANSPORT], origin=Origin("https://evil.example"))
            async with connect(url, subprotocols=[TRANSPORT]) as client:
                await client.send('{"type":"connection_init","payload":{"authToken":"bad"}}')
                with pytest.raises(ConnectionClosed):
                    await client.recv()
    origin, token = caplog.records
    assert origin.levelname == token.levelname == "WARNING"
    assert "'https://evil.example' at the host '127.0.0.1:" in origin.getMessage()
    assert "WIDGETWIRE_ALLOWED_ORIGINS" in origin.getMessage()
    assert token.getMessage() == "authentication refused: the token is not valid"


async def test_a_binary_message_closes_with_a_reason() -> None:
    async with serving() as (_, url), connect(url, subprotocols=[TRANSPORT]) as client:
        await client.send(b"binary")
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4400


def _message(kind: str, size: int, **fields: Any) -> str:
    """Return a message of exactly `size` bytes."""
    empty = json.dumps({"type": kind, "payload": {"padding": ""}, **fields})
    return empty.replace('"padding": ""', '"padding": "' + "x" * (size - len(empty)) + '"')


async def test_until_it_is_acknowledged_a_socket_may_send_64_kib_at_once() -> None:
    """200 sockets that had shown nothing could make a process hold 200 MiB."""
    async with serving() as (_, url):
        async with connect(url, subprotocols=[TRANSPORT]) as client:
            await client.send(_message("connection_init", MAX_UNACCEPTED_BYTES + 1))
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        async with connect(url, subprotocols=[TRANSPORT]) as client:
            await client.send(_message("connection_init", MAX_UNACCEPTED_BYTES))
            # Not waiting for the answer, as the protocol allows of a ping.
            await client.send(_message("ping", MAX_ANONYMOUS_BYTES))
            assert json.loads(await client.recv())["type"] == "connection_ack"
            assert json.loads(await client.recv())["type"] == "pong"


async def test_with_a_token_a_socket_may_send_more_at_once() -> None:
    async with serving() as (_, url):
        async with connect(url, subprotocols=[TRANSPORT]) as client:
            await client.send('{"type":"connection_init","payload":{"authToken":"anna"}}')
            await client.send(_message("ping", 1_000_000))
            assert json.loads(await client.recv())["type"] == "connection_ack"
            assert json.loads(await client.recv())["type"] == "pong"
        async with connect(url, subprotocols=[TRANSPORT]) as client:
            await client.send('{"type":"connection_init"}')
            await client.send(_message("ping", MAX_ANONYMOUS_BYTES + 1))
            assert json.loads(await client.recv())["type"] == "connection_ack"
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
