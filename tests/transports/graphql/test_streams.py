"""Subscriptions over HTTP, byte by byte on a real connection."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.errors import ErrorCode, Unavailable
from app.transports.graphql.http import GraphQLHttp, HttpLimits
from app.transports.graphql.streams import EventStreamFraming
from app.wire import stream as stream_writer
from app.wire.http import HttpBounds
from tests.delivery.recorded import until
from tests.transports.graphql.sample import TOO_SLOW, Sample
from tests.transports.raw_http import served

pytestmark = pytest.mark.anyio

SSE = "text/event-stream"
MULTIPART = 'multipart/mixed; boundary="graphql"; subscriptionSpec=1.0'
PART = b"\r\ncontent-type: application/json\r\n\r\n"


class Service:
    """The endpoint and the sample behind it."""

    def __init__(
        self,
        heartbeat_seconds: float = 30.0,
        expires_in: float | None = None,
        max_streams: int = 1_000,
    ) -> None:
        self.sample = Sample()
        self._expires_in = expires_in
        self.app = GraphQLHttp(
            self.sample.executor,
            self._viewer,
            self.sample.context,
            limits=HttpLimits(heartbeat_seconds=heartbeat_seconds, max_streams=max_streams),
        )
        self.port = 0

    def _viewer(self, *_tokens: str | None) -> Viewer:
        expires_at = None if self._expires_in is None else time.time() + self._expires_in
        return Viewer("anna", DEFAULT_PERMISSIONS, expires_at=expires_at)

    @asynccontextmanager
    async def serving(self, bounds: HttpBounds | None = None) -> AsyncIterator["Service"]:
        async with served(bounds, app=self.app) as self.port:
            yield self
        await until(lambda: self.sample.feed.left == self.sample.feed.joined, 5)
        await until(lambda: not self.app._streams, 5)
        assert all(context.closed == 1 for context in self.sample.contexts)

    @asynccontextmanager
    async def stream(
        self,
        accept: str,
        version: bytes = b"1.1",
        headers: bytes = b"",
        receive_buffer: int | None = None,
    ) -> AsyncIterator["Response"]:
        """Ask for a stream of items; yields the response when its head has come."""
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=client, limit=1024)
        try:
            writer.write(
                b"GET /graphql?query=subscription{items} HTTP/%b\r\nHost: a\r\nAccept: %b\r\n%b\r\n"
                % (version, accept.encode(), headers)
            )
            async with asyncio.timeout(20):
                head = await reader.readuntil(b"\r\n\r\n")
            yield Response(reader, writer, head)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class Response:
    """A response that is read as it comes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        self.reader, self.writer = reader, writer
        status, *lines = head.decode().strip().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    async def chunk(self) -> bytes:
        """Return the next chunk; the empty one is the last."""
        async with asyncio.timeout(20):
            size = int(await self.reader.readline(), 16)
            data = await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def rest(self) -> bytes:
        """Return all chunks up to the last one, and see the connection end."""
        data = b""
        while one := await self.chunk():
            data += one
        assert await self.until_end() == b""
        return data

    async def until_end(self) -> bytes:
        """Return what comes until the connection ends."""
        async with asyncio.timeout(20):
            return await self.reader.read()

    def leave(self) -> None:
        self.writer.transport.abort()


async def test_an_event_stream_carries_each_response() -> None:
    async with Service().serving() as service, service.stream(SSE) as response:
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["connection"] == "close"
        assert response.headers["transfer-encoding"] == "chunked"
        assert await response.chunk() == b":\n\n"
        await service.sample.feed.publish("one\ntwo")
        assert await response.chunk() == b'event: next\ndata: {"data":{"items":"one\\ntwo"}}\n\n'
        await service.sample.feed.publish(2)
        assert await response.chunk() == b'event: next\ndata: {"data":{"items":2}}\n\n'


async def test_a_multipart_stream_carries_each_response() -> None:
    async with Service(0.05).serving() as service, service.stream(MULTIPART) as response:
        assert response.headers["content-type"] == MULTIPART.lower()
        assert await response.chunk() == b"\r\n--graphql"
        assert await response.chunk() == PART + b"{}\r\n--graphql"
        await service.sample.feed.publish(1)
        expected = PART + b'{"payload":{"data":{"items":1}}}\r\n--graphql'
        while (part := await response.chunk()) != expected:
            assert part == PART + b"{}\r\n--graphql"


async def test_silence_is_filled_with_heartbeats() -> None:
    async with Service(0.02).serving() as service, service.stream(SSE) as response:
        for _ in range(4):
            assert await response.chunk() == b":\n\n"


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_http_1_0_is_answered_without_chunks(accept: str) -> None:
    """RFC 9112, 6.1: no Transfer-Encoding unless the request is HTTP/1.1."""
    async with Service().serving() as service, service.stream(accept, b"1.0") as response:
        assert "transfer-encoding" not in response.headers
        await service.sample.feed.until("joined", 1)
        await service.sample.feed.publish(1)
        service.app.shutdown()
        body = await response.until_end()
        if accept == SSE:
            assert body == b':\n\nevent: next\ndata: {"data":{"items":1}}\n\n'
        else:
            assert body.startswith(b"\r\n--graphql" + PART + b'{"payload":{"data":{"items":1}}}')
            assert body.endswith(b"\r\n--graphql--\r\n")


@pytest.mark.parametrize("interrupt", ["restart", "too slow"])
async def test_a_restart_and_a_slow_reader_end_without_complete(interrupt: str) -> None:
    async with Service().serving() as service, service.stream(SSE) as response:
        assert await response.chunk() == b":\n\n"
        if interrupt == "restart":
            service.app.shutdown()
            service.app.shutdown()
        else:
            await service.sample.feed.publish(TOO_SLOW)
        assert await response.rest() == b""
        assert service.sample.feed.left == 1


async def test_a_multipart_stream_tells_why_it_was_interrupted() -> None:
    async with Service().serving() as service, service.stream(MULTIPART) as response:
        await response.chunk()
        service.app.shutdown()
        rest = await response.rest()
        assert b'{"payload":null,"errors":[{"message":"the server is restarting' in rest
        assert rest.endswith(b"\r\n--graphql--\r\n")


async def test_its_own_connection_ends_a_stream_when_its_turn_comes() -> None:
    async with Service().serving() as service, service.stream(SSE) as response:
        assert await response.chunk() == b":\n\n"
        (stream,) = service.app._streams
        stream.shutdown()
        stream.shutdown()
        assert await response.rest() == b""
        assert service.sample.feed.left == 1


async def test_after_shutdown_no_stream_begins() -> None:
    async with Service().serving() as service:
        service.app.shutdown()
        async with service.stream(SSE) as response:
            assert response.status == 503
            body = await response.reader.readexactly(int(response.headers["content-length"]))
            assert ErrorCode.UNAVAILABLE.value.encode() in body


async def test_one_that_joins_while_the_process_goes_away_is_interrupted() -> None:
    service = Service()
    feed = service.sample.feed
    feed.join_gate = asyncio.Event()
    async with service.serving():

        async def shut_down() -> None:
            await until(lambda: service.sample.contexts, 5)
            service.app.shutdown()
            assert feed.join_gate is not None
            feed.join_gate.set()

        shutting_down = asyncio.create_task(shut_down())
        async with service.stream(SSE) as response:
            assert await response.rest() == b":\n\n"
        await shutting_down


async def test_a_replay_does_not_hold_up_a_restart() -> None:
    """The stream was told only once its replay was over: a slow reader kept the process."""
    service = Service()
    service.sample.feed.begin_gate = asyncio.Event()
    async with service.serving(), service.stream(SSE) as response:
        assert await response.chunk() == b":\n\n"
        service.app.shutdown()
        assert await response.rest() == b""
        assert service.sample.feed.left == 1


async def test_a_source_that_fails_tells_its_error_and_completes() -> None:
    service = Service()
    service.sample.feed.failure = Unavailable("the database does not answer")
    async with service.serving(), service.stream(SSE) as response:
        rest = await response.rest()
        assert b'"code":"UNAVAILABLE"' in rest
        assert rest.endswith(b"event: complete\ndata:\n\n")


async def test_a_reader_that_never_reads_is_ended_at_its_bound_and_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_writer, "CLOSE_TIMEOUT_SECONDS", 0.05)
    service = Service()
    feed = service.sample.feed
    async with service.serving(), service.stream(SSE, receive_buffer=4_096) as response:
        await response.chunk()
        published = 0
        while not feed.left:
            await feed.publish("x" * 60_000)
            published += 60_000
            assert published < 32 * 1024 * 1024, "the kernel holds some, we hold 1 MiB"
            await asyncio.sleep(0)
        assert published > 1024 * 1024
        assert service.app._streams, "it may read the end until the time is over"
        await until(lambda: not service.app._streams, 5)


async def test_a_reader_that_takes_nothing_for_three_heartbeats_is_given_up() -> None:
    """A peer that is gone without a word must not be kept until 1 MiB waits for it."""
    service = Service(heartbeat_seconds=0.05)
    feed = service.sample.feed
    async with service.serving(), service.stream(SSE, receive_buffer=4_096) as response:
        await response.chunk()
        (stream,) = service.app._streams
        while not stream._writer._blocked:
            await feed.publish("x" * 60_000)
            await asyncio.sleep(0)
        await until(lambda: not service.app._streams, 5)


@pytest.mark.parametrize("begun", [True, False])
async def test_a_client_that_leaves_is_forgotten_at_once(begun: bool) -> None:
    service = Service()
    feed = service.sample.feed
    if not begun:
        feed.begin_gate = asyncio.Event()
    async with service.serving(), service.stream(MULTIPART) as response:
        await response.chunk()
        response.leave()
        await until(lambda: feed.left and not service.app._streams, 5)
        assert await feed.publish(1) == 0


async def test_a_client_that_has_left_before_the_stream_begins_is_forgotten() -> None:
    service = Service()
    feed = service.sample.feed
    feed.join_gate = asyncio.Event()
    async with service.serving():
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(
            b"GET /graphql?query=subscription{items} HTTP/1.1\r\nHost: a\r\nAccept: %b\r\n\r\n"
            % SSE.encode()
        )
        await until(lambda: service.sample.contexts, 5)
        writer.transport.abort()
        # It need not be joined for that: in an outage it would wait for half a minute.
        await until(lambda: service.sample.contexts[0].closed, 5)
        assert await reader.read() == b""
        assert feed.joined == 0


async def test_a_stream_ends_with_its_token() -> None:
    async with Service(expires_in=0.1).serving() as service, service.stream(SSE) as response:
        assert await response.rest() == b":\n\n"


async def test_the_number_of_streams_is_bounded() -> None:
    async with Service(max_streams=1).serving() as service:
        async with service.stream(SSE), service.stream(SSE) as second:
            assert second.status == 503
        await until(lambda: not service.app._streams, 5)
        async with service.stream(SSE) as third:
            assert third.status == 200


async def test_those_that_have_not_joined_yet_count() -> None:
    """Any number of them waited for a database that was away, and were streams afterwards."""
    service = Service(max_streams=1)
    feed = service.sample.feed
    feed.join_gate = asyncio.Event()
    async with service.serving():
        async with asyncio.TaskGroup() as group:
            first = group.create_task(_status(service))
            await until(lambda: service.sample.contexts, 5)
            assert await _status(service) == 503
            feed.join_gate.set()
        assert first.result() == 200


async def _status(service: Service) -> int:
    async with service.stream(SSE) as response:
        return response.status


async def test_a_token_that_ends_while_a_stream_waits_gets_no_leeway() -> None:
    service = Service(expires_in=0.05)
    feed = service.sample.feed
    feed.join_gate = asyncio.Event()
    async with service.serving(), asyncio.timeout(10):
        asyncio.get_running_loop().call_later(0.1, feed.join_gate.set)
        async with service.stream(SSE) as response:
            assert await response.rest() == b":\n\n"


async def test_content_that_is_owed_and_never_comes_ends_the_stream_in_order() -> None:
    """The connection was closed under the stream, which went on to write: an error a message."""
    bounds = HttpBounds(body_timeout_seconds=0.2)
    async with (
        Service().serving(bounds) as service,
        service.stream(SSE, headers=b"Content-Length: 10\r\n") as response,
    ):
        assert await response.rest() == b":\n\n"
        await service.sample.feed.publish(1)


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_hundred_streams_share_one_framing_and_have_no_task_of_their_own(
    accept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    framings = 0
    framing = EventStreamFraming.payload

    def counted(self: EventStreamFraming, payload: bytes) -> bytes:
        nonlocal framings
        framings += 1
        return framing(self, payload)

    monkeypatch.setattr(EventStreamFraming, "payload", counted)
    async with Service().serving() as service, contextlib.AsyncExitStack() as stack:
        before = asyncio.all_tasks()
        responses = [await stack.enter_async_context(service.stream(accept)) for _ in range(100)]
        for response in responses:
            await response.chunk()
        assert asyncio.all_tasks() == before
        payload = b'{"data":{"items":1}}'
        for stream in service.app._streams:
            stream.receive((payload,))
        assert {await response.chunk() for response in responses} == {
            b"event: next\ndata: " + payload + b"\n\n"
            if accept == SSE
            else PART + b'{"payload":' + payload + b"}\r\n--graphql"
        }
        assert framings == (1 if accept == SSE else 0)
