"""Subscriptions over HTTP: server-sent events and multipart responses.

Both carry payloads one after another, a heartbeat while there are none, and an ending. A
stream that ends without its ending (the process drains, the reader is too slow) tells the
client to come back; one with it is over.

Event streams: https://github.com/enisdenjo/graphql-sse, PROTOCOL.md, distinct connections.
Events that can be resumed after carry their cursor as `id`.
Multipart: https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

from starlette.types import Receive, Scope, Send

from app.domain.json_value import encode_json
from app.engine.cursors import CursoredPayload
from app.engine.errors import ResponseError, response_error
from app.engine.execution import Subscription
from app.errors import ShuttingDown, SubscriberTooSlow, TokenExpired
from app.telemetry.counters import COUNTED
from app.transports.graphql.negotiation import MediaType
from app.wire.stream import STREAM, Streaming, StreamWriter, chunk

__all__ = ["EventStreamFraming", "Framing", "MultipartFraming", "SubscriptionStream"]


class Framing(Protocol):
    """How payloads are put on the wire."""

    content_type: str
    opening: bytes
    """Sent at once, so that proxies and clients see the stream begin."""
    heartbeat: bytes
    completed: bytes
    """The ending that tells the client not to come back."""

    def payload(self, payload: bytes) -> bytes:
        """Return the wire form of one response."""

    def failed(self, error: ResponseError) -> bytes:
        """Return the wire form of the error with which the source ended, and the ending."""

    def interrupted(self, error: ResponseError) -> bytes:
        """Return what is sent when the client should come back."""


class EventStreamFraming:
    """Server-sent events: `event: next` for each response, `event: complete` at the end."""

    content_type = "text/event-stream; charset=utf-8"
    opening = b":\n\n"
    heartbeat = b":\n\n"
    # The empty `data` is needed: a browser drops an event without any.
    completed = b"event: complete\ndata:\n\n"

    def payload(self, payload: bytes) -> bytes:
        # Compact JSON has no line breaks.
        event = b"event: next\ndata: " + payload + b"\n\n"
        if isinstance(payload, CursoredPayload):
            return b"id: " + payload.cursor.encode() + b"\n" + event
        return event

    def failed(self, error: ResponseError) -> bytes:
        return self.payload(encode_json({"errors": [error]})) + self.completed

    def interrupted(self, error: ResponseError) -> bytes:  # noqa: ARG002 - a Framing
        # Ended without `complete`: an EventSource and graphql-sse reconnect by themselves.
        return b""


class MultipartFraming:
    """Apollo's multipart subscriptions: each response a part, inside `payload`."""

    content_type = 'multipart/mixed; boundary="graphql"; subscriptionSpec=1.0'
    # The delimiter that ends a part is sent with it, so that its reader has it whole.
    opening = b"\r\n--graphql"
    completed = b"--\r\n"
    _part = b"\r\ncontent-type: application/json\r\n\r\n"
    heartbeat = _part + b"{}\r\n--graphql"

    def payload(self, payload: bytes) -> bytes:
        return self._part + b'{"payload":' + payload + b"}\r\n--graphql"

    def failed(self, error: ResponseError) -> bytes:
        # An error beside `payload` is of the transport: the client ends the subscription.
        body = encode_json({"payload": None, "errors": [error]})
        return self._part + body + b"\r\n--graphql" + self.completed

    def interrupted(self, error: ResponseError) -> bytes:
        return self.failed(error)


class _Framed:
    """A framing in its transfer coding; the last result is kept.

    A group gives one payload to one stream after another: it is framed once for all of them.
    """

    def __init__(self, framing: Framing, chunked: bool) -> None:
        self.framing = framing
        self._chunked = chunked
        self._payload = b""
        self._framed = b""

    def payload(self, payload: bytes) -> bytes:
        """Return what is written for one response."""
        if payload is not self._payload:
            self._framed = self.coded(self.framing.payload(payload))
            self._payload = payload
        return self._framed

    def coded(self, body: bytes) -> bytes:
        """Return a piece of the body as it is written."""
        return chunk(body) if self._chunked else body


@cache
def _framed(media_type: MediaType, chunked: bool) -> _Framed:
    framing = MultipartFraming() if media_type is MediaType.MULTIPART else EventStreamFraming()
    return _Framed(framing, chunked)


class SubscriptionStream:
    """A subscription's response, until one side ends it: a member that writes to its connection.

    Once it has begun, no task, queue or timer belongs to it.

    Args:
        subscription: joined already; left in every case.
        media_type: the one of a stream that the client asked for.
        heartbeat_seconds: how often a heartbeat is sent, so that proxies keep the connection
            and a dead peer is noticed.
        max_outbound_bytes: what may wait for a reader; more, and the stream ends without its
            ending, so that its client comes back.
        on_end: called once, however it ended.
    """

    def __init__(
        self,
        subscription: Subscription,
        media_type: MediaType,
        *,
        heartbeat_seconds: float,
        max_outbound_bytes: int,
        on_end: Callable[["SubscriptionStream"], None],
    ) -> None:
        self._subscription = subscription
        self._media_type = media_type
        self._heartbeat_seconds = heartbeat_seconds
        self._max_outbound_bytes = max_outbound_bytes
        self._on_end: Callable[[SubscriptionStream], None] | None = on_end
        self._interruption: ShuttingDown | TokenExpired | None = None
        self._over = False
        self._beginning: asyncio.Task[None] | None = None
        self._leave: Callable[[], None] | None = None
        self._writer: StreamWriter
        self._framed: _Framed

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Begin the response, as ASGI calls it; it goes on by itself then."""
        framing = _framed(self._media_type, chunked=True).framing
        headers = [
            (b"content-type", framing.content_type.encode()),
            (b"cache-control", b"no-cache, no-transform"),
            (b"vary", b"Accept"),
            # nginx and its kin would hold events back to fill a buffer.
            (b"x-accel-buffering", b"no"),
            (b"connection", b"close"),
        ]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            streaming: Streaming = scope["extensions"][STREAM]
            writer = streaming.stream(
                self,
                max_outbound_bytes=self._max_outbound_bytes,
                beat_seconds=self._heartbeat_seconds,
            )
        except BaseException:
            self._forget()
            raise
        if writer is None:
            self._forget()
            return
        COUNTED.opened(self._kind)
        self._writer = writer
        self._framed = _framed(self._media_type, writer.chunked)
        writer.send_framed(self._framed.coded(framing.opening))
        if self._interruption is not None:
            self._subscription.close()
            self.fail(self._interruption)
        else:
            await self._begin()

    async def _begin(self) -> None:
        self._beginning = asyncio.current_task()
        try:
            cursors = self._media_type is MediaType.EVENT_STREAM
            leave = await self._subscription.begin(self, cursors=cursors)
        except asyncio.CancelledError:
            # Ended before it had begun: for the server the call is a good one.
            if not self._over:
                raise
        except Exception as error:
            self.fail(error)
        else:
            if self._over:
                leave()
            else:
                self._leave = leave
        finally:
            self._beginning = None
            if self._leave is None:
                self._subscription.close()

    def interrupt(self, why: ShuttingDown | TokenExpired) -> None:
        """End the stream so that the client comes back. Idempotent."""
        self._interruption = why
        if self._beginning is not None or self._leave is not None:
            self.fail(why)

    # The member.

    def receive(self, payloads: Sequence[bytes]) -> None:
        """Send what the group is given."""
        for payload in payloads:
            self._writer.send_framed(self._framed.payload(payload))

    def fail(self, error: Exception) -> None:
        """End the stream: for good, or so that its client comes back."""
        told = response_error(error)
        if isinstance(error, ShuttingDown | SubscriberTooSlow | TokenExpired):
            ending = self._framed.framing.interrupted(told)
        else:
            ending = self._framed.framing.failed(told)
        self._end()
        self._writer.end(ending, instead=isinstance(error, SubscriberTooSlow))

    async def drained(self) -> None:
        """Wait while the connection is busy with what was sent."""
        await self._writer.drained()

    # What the connection tells.

    def beat(self) -> None:
        """Send a heartbeat."""
        self._writer.send_framed(self._framed.coded(self._framed.framing.heartbeat))

    def fell_behind(self) -> None:
        """The reader is too slow: it resumes after the last message it received."""
        self.fail(SubscriberTooSlow(f"{self._max_outbound_bytes} bytes are waiting"))

    def shutdown(self) -> None:
        """The process goes away: the client comes back elsewhere."""
        self.interrupt(ShuttingDown())

    def lost(self) -> None:
        """The connection is gone."""
        COUNTED.ended(self._kind)
        self._end()
        self._tell_end()

    @property
    def _kind(self) -> str:
        return "multipart" if self._media_type is MediaType.MULTIPART else "sse"

    def _end(self) -> None:
        """Take nothing more."""
        self._over = True
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
        if self._beginning is not None and self._beginning is not asyncio.current_task():
            self._beginning.cancel()

    def _forget(self) -> None:
        """Let go of what has never begun."""
        self._subscription.close()
        self._tell_end()

    def _tell_end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)
