"""uvicorn's HTTP/1.1 protocol with bounds on what a slow or greedy peer may hold.

uvicorn keeps a connection whose request head never ends open for ever, and grows its head
without bound. Here a head must arrive whole within a time and a size, a body within a time,
and the number of connections is bounded, upgraded ones included.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Final, cast

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.transports.websocket import WebSocketProtocol

__all__ = ["BoundedHttpProtocol", "HttpBounds"]

_TEXT: Final = {
    HTTPStatus.BAD_REQUEST: "this is not a valid HTTP request",
    HTTPStatus.REQUEST_TIMEOUT: "the request did not arrive in time",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the request head is too large",
    HTTPStatus.SERVICE_UNAVAILABLE: "too many connections; retry later",
}


class _Phase(Enum):
    HEAD = "the peer owes the rest of a request's head"
    BODY = "the peer owes the rest of its body"
    ANSWER = "the application owes an answer, or the connection is idle"
    OVER = "closed, or no longer HTTP"


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """What one process grants its HTTP connections.

    Args:
        header_timeout_seconds: from connecting, or from the first byte after an answer, to
            the end of the head: 408 after.
        body_timeout_seconds: from the end of the head to the end of the body: 408 after, or
            only closed when an answer has begun.
        max_header_bytes: of request line and headers: 431 above.
        max_connections: open at once, of any protocol: the next is answered 503.
    """

    header_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    max_header_bytes: int = 65536
    max_connections: int = 50_000


class BoundedHttpProtocol(HttpToolsProtocol):
    """One HTTP connection, or the beginning of a `WebSocketProtocol`.

    For `uvicorn.Config(http=, ws=WebSocketProtocol)`; bind `bounds` with `functools.partial`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: HttpBounds | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = bounds or HttpBounds()
        self._phase = _Phase.HEAD
        self._deadline: asyncio.TimerHandle | None = None
        self._fed_bytes = 0
        self._head_bytes = 0
        self._refusal: HTTPStatus | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._bounds.max_connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._enter(_Phase.OVER)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.OVER:
            return
        super().data_received(data)
        if self._phase is _Phase.HEAD:
            # httptools keeps an unfinished line to itself: count what it was fed.
            self._fed_bytes += len(data)
            if self._fed_bytes > self._bounds.max_header_bytes:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return
        if self._deadline is None:
            self._watch()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._fed_bytes = self._head_bytes = 0
        if self._phase is not _Phase.HEAD:
            self._enter(_Phase.HEAD)

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers after a chunked body come here too, and count.
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._enter(_Phase.BODY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._enter(_Phase.ANSWER)
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        # Not uvicorn's own, which makes text of the request again, to be parsed again.
        self._enter(_Phase.OVER)
        self.connections.discard(self)
        protocol = WebSocketProtocol(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        protocol.upgrade(cast(Scope, self.scope), self.url)
        self.transport.set_protocol(protocol)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (ours say more)
        """Answer what the parser gave up on, with the reason if it was ours."""
        self._refuse(self._refusal or HTTPStatus.BAD_REQUEST)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._bounds.max_header_bytes:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            # httptools turns it into a parser error; uvicorn then calls send_400_response.
            raise ValueError(self._refusal.phrase)

    def _enter(self, phase: "_Phase") -> None:
        """Go on to `phase`: what the last one waited for has come."""
        self._phase = phase
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch(self) -> None:
        """Start the clock of what the peer owes; requests that come whole never need it."""
        match self._phase:
            case _Phase.HEAD:
                seconds = self._bounds.header_timeout_seconds
            case _Phase.BODY:
                seconds = self._bounds.body_timeout_seconds
            case _Phase.ANSWER if self.cycle.response_complete and (
                self.timeout_keep_alive_task is None
            ):
                # Bytes came that begin no request (blank lines) and stopped uvicorn's clock.
                seconds = self._bounds.header_timeout_seconds
            case _:
                return
        self._deadline = self.loop.call_later(seconds, self._missed)

    def _missed(self) -> None:
        self._deadline = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer `status`, unless another answer is under way, and close."""
        self._enter(_Phase.OVER)
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            text = _TEXT[status].encode()
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%s"
                % (status, status.phrase.encode(), len(text), text)
            )
        self.transport.close()
