"""Subscriptions over HTTP, byte by byte."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.errors import Unavailable
from app.transports.graphql.http import GraphQLHttp, HttpLimits
from tests.transports.graphql.sample import TOO_SLOW, Sample

pytestmark = pytest.mark.anyio

SSE = "text/event-stream"
MULTIPART = 'multipart/mixed; boundary="graphql"; subscriptionSpec=1.0'


class Response:
    """One request whose response is read as it is sent."""

    def __init__(self, app: GraphQLHttp, accept: str) -> None:
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/graphql",
            "query_string": b"query=subscription{items}",
            "headers": [(b"accept", accept.encode())],
        }
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.task = asyncio.create_task(app(scope, self._requests.get, self._send))

    async def _send(self, message: Any) -> None:
        await self.may_send.wait()
        self._sent.put_nowait(message)

    def disconnect(self) -> None:
        self._requests.put_nowait({"type": "http.disconnect"})

    async def start(self) -> dict[bytes, bytes]:
        message = await self.message()
        assert message["type"] == "http.response.start"
        return {b":status": str(message["status"]).encode(), **dict(message["headers"])}

    async def message(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return await self._sent.get()

    async def body(self) -> bytes:
        body: bytes = (await self.message())["body"]
        return body

    async def rest(self) -> bytes:
        parts = []
        while True:
            message = await self.message()
            parts.append(message["body"])
            if not message.get("more_body"):
                return b"".join(parts)


class Service:
    def __init__(self, heartbeat_seconds: float = 30.0, expires_in: float | None = None) -> None:
        self.sample = Sample()
        self._expires_in = expires_in
        self.app = GraphQLHttp(
            self.sample.executor,
            self._viewer,
            self.sample.context,
            limits=HttpLimits(heartbeat_seconds=heartbeat_seconds, max_streams=1),
        )

    def _viewer(self, _token: str | None) -> Viewer:
        expires_at = None if self._expires_in is None else time.time() + self._expires_in
        return Viewer("anna", DEFAULT_PERMISSIONS, expires_at=expires_at)

    @asynccontextmanager
    async def stream(self, accept: str) -> AsyncIterator[Response]:
        response = Response(self.app, accept)
        yield response
        response.disconnect()
        await asyncio.wait_for(response.task, 5)
        assert self.sample.feed.left == self.sample.feed.joined
        assert all(context.closed for context in self.sample.contexts)


async def test_an_event_stream_carries_each_response_and_completes() -> None:
    service = Service()
    async with service.stream(SSE) as response:
        headers = await response.start()
        assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert await response.body() == b":\n\n"
        await service.sample.feed.publish("one\ntwo")
        assert await response.body() == b'event: next\ndata: {"data":{"items":"one\\ntwo"}}\n\n'
        await service.sample.feed.publish(None)
        assert await response.rest() == b"event: complete\ndata:\n\n"


async def test_a_multipart_stream_carries_each_response_and_completes() -> None:
    service = Service(heartbeat_seconds=0.05)
    async with service.stream(MULTIPART) as response:
        headers = await response.start()
        assert headers[b"content-type"] == MULTIPART.encode()
        assert await response.body() == b"\r\n--graphql"
        part = b"\r\ncontent-type: application/json\r\n\r\n"
        assert await response.body() == part + b"{}\r\n--graphql"
        await service.sample.feed.publish(1)
        expected = part + b'{"payload":{"data":{"items":1}}}\r\n--graphql'
        while (body := await response.body()) != expected:
            assert body == part + b"{}\r\n--graphql"
        await service.sample.feed.publish(None)
        assert (await response.rest()).endswith(b"--\r\n")


async def test_silence_is_filled_with_heartbeats() -> None:
    service = Service(heartbeat_seconds=0.01)
    async with service.stream(SSE) as response:
        await response.start()
        for _ in range(3):
            assert await response.body() == b":\n\n"


async def test_a_restart_and_a_slow_reader_end_without_complete() -> None:
    for interrupt in ("shutdown", "slow"):
        service = Service()
        async with service.stream(SSE) as response:
            await response.start()
            await response.body()
            if interrupt == "shutdown":
                service.app.shutdown()
            else:
                await service.sample.feed.publish(TOO_SLOW)
            assert await response.rest() == b""
    refused = Response(service.app, SSE)
    await refused.start()
    refused.disconnect()


async def test_after_shutdown_no_stream_begins() -> None:
    service = Service()
    service.app.shutdown()
    response = Response(service.app, SSE)
    headers = await response.start()
    assert headers[b":status"] == b"503"
    assert b"UNAVAILABLE" in await response.rest()


async def test_a_multipart_stream_tells_why_it_was_interrupted() -> None:
    service = Service()
    async with service.stream(MULTIPART) as response:
        await response.start()
        await response.body()
        service.app.shutdown()
        rest = await response.rest()
        assert b'{"payload":null,"errors":[{"message":"the server is restarting' in rest
        assert rest.endswith(b"\r\n--graphql--\r\n")


async def test_a_source_that_fails_tells_its_error_and_completes() -> None:
    service = Service()
    async with service.stream(SSE) as response:
        await response.start()
        await response.body()
        await service.sample.feed.publish(Unavailable("the database does not answer"))
        rest = await response.rest()
        assert b'"code":"UNAVAILABLE"' in rest
        assert rest.endswith(b"event: complete\ndata:\n\n")


async def test_a_client_that_leaves_is_forgotten_at_once() -> None:
    service = Service()
    async with service.stream(MULTIPART) as response:
        await response.start()
        await response.body()
        response.may_send.clear()
        await service.sample.feed.publish(1)


async def test_a_stream_ends_with_its_token() -> None:
    service = Service(expires_in=0.05)
    async with service.stream(SSE) as response:
        await response.start()
        assert await response.rest() == b":\n\n"


async def test_the_number_of_streams_is_bounded() -> None:
    service = Service()
    async with service.stream(SSE) as response:
        await response.start()
        second = Response(service.app, SSE)
        headers = await second.start()
        assert (headers[b":status"], headers[b"retry-after"]) == (b"503", b"1")
