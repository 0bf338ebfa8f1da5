"""Subscriptions over HTTP: server-sent events and multipart responses.

Both carry payloads one after another, a heartbeat while there are none, and an ending. A
stream that ends without its ending (the process drains, the reader is too slow) tells the
client to come back; one with it is over.

Event streams: https://github.com/enisdenjo/graphql-sse, PROTOCOL.md, distinct connections.
Multipart: https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from starlette.types import Receive, Scope, Send

from app.domain.json_value import encode_json
from app.errors import ShuttingDown, SubscriberTooSlow
from app.transports.graphql.errors import ResponseError, response_error
from app.transports.graphql.execution import Payloads
from app.transports.graphql.negotiation import MediaType

__all__ = ["EventStreamFraming", "Framing", "MultipartFraming", "SubscriptionStream", "framing_for"]

_log = logging.getLogger(__name__)

_MAX_SEND_SECONDS: Final = 30.0
"""A reader that takes nothing for so long has gone, or might as well have."""


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
        return b"event: next\ndata: " + payload + b"\n\n"

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


def framing_for(media_type: MediaType) -> Framing:
    """Return the framing of a stream's media type."""
    return MultipartFraming() if media_type is MediaType.MULTIPART else EventStreamFraming()


class SubscriptionStream:
    """An ASGI response that sends a subscription until one side ends it.

    Args:
        payloads: joined already; closed in every case.
        framing: of the media type the client asked for.
        heartbeat_seconds: silence after which a heartbeat is sent, so that proxies keep the
            connection and a dead peer is noticed.
        on_end: called once, however it ended.
    """

    def __init__(
        self,
        payloads: Payloads,
        framing: Framing,
        *,
        heartbeat_seconds: float,
        on_end: Callable[["SubscriptionStream"], None],
    ) -> None:
        self._payloads = payloads
        self._framing = framing
        self._heartbeat_seconds = heartbeat_seconds
        self._on_end = on_end
        self._interruption: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def interrupt(self) -> None:
        """End the stream so that the client comes back; the process goes away. Idempotent."""
        if not self._interruption.done():
            self._interruption.set_result(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, as ASGI calls it."""
        assert scope["type"] == "http"
        disconnected = asyncio.ensure_future(_disconnected(receive))
        sending = asyncio.ensure_future(self._send_all(send))
        try:
            await asyncio.wait({disconnected, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            sending.cancel()
            disconnected.cancel()
            await asyncio.gather(sending, disconnected, return_exceptions=True)
            await self._payloads.aclose()
            self._on_end(self)

    async def _send_all(self, send: Send) -> None:
        async def write(body: bytes, *, more: bool = True) -> None:
            async with asyncio.timeout(_MAX_SEND_SECONDS):
                await send({"type": "http.response.body", "body": body, "more_body": more})

        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", self._framing.content_type.encode()),
                    (b"cache-control", b"no-cache, no-transform"),
                    (b"vary", b"Accept"),
                    # nginx and its kin would hold events back to fill a buffer.
                    (b"x-accel-buffering", b"no"),
                ],
            }
        )
        try:
            await write(self._framing.opening)
            ending = await self._relay(write)
            await write(ending, more=False)
        except TimeoutError:
            _log.info("a subscription over HTTP took nothing for %s s: ended", _MAX_SEND_SECONDS)

    async def _relay(self, write: Callable[[bytes], Awaitable[None]]) -> bytes:
        """Send payloads until there are no more; return the ending."""
        coming: asyncio.Future[bytes] | None = None
        try:
            while True:
                if coming is None:
                    coming = asyncio.ensure_future(anext(self._payloads))
                waited_for: set[asyncio.Future[Any]] = {coming, self._interruption}
                await asyncio.wait(
                    waited_for,
                    timeout=self._heartbeat_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if coming.done():
                    payload = coming.result()
                    coming = None
                    await write(self._framing.payload(payload))
                elif self._interruption.done():
                    return self._framing.interrupted(response_error(ShuttingDown()))
                else:
                    await write(self._framing.heartbeat)
        except StopAsyncIteration:
            return self._framing.completed
        except TimeoutError:
            raise
        except (ShuttingDown, SubscriberTooSlow) as error:
            return self._framing.interrupted(response_error(error))
        except Exception as error:
            return self._framing.failed(response_error(error))
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
