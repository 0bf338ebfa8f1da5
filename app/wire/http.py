"""uvicorn's HTTP/1.1 protocol with bounds on what a slow or greedy peer may hold.

uvicorn keeps a connection whose request head never ends open for ever, and grows its head
without bound. Here a head must arrive whole within a time and a size, a body within a time,
and the number of connections is bounded, upgraded ones included. uvicorn also passes on what
RFC 9112 says to refuse; `request_head` judges each head before the application sees it.
"""

import asyncio
import logging
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

import httptools
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.defaults import (
    BODY_TIMEOUT_SECONDS,
    HEADER_TIMEOUT_SECONDS,
    MAX_CONNECTIONS,
    MAX_HEADER_BYTES,
)
from app.errors import Unavailable
from app.wire.http_answer import CarefulAnswer, LastWord
from app.wire.keepalive import Pinged
from app.wire.lingering import LingeringClose
from app.wire.outcomes import OUTCOMES
from app.wire.request_head import Head, HttpRefusal, checked_head
from app.wire.shared import Shared
from app.wire.stream import STREAM, Streamed, StreamWriter
from app.wire.websocket import WebSocketProtocol

__all__ = ["BoundedHttpProtocol", "HttpBounds"]

_LINGER_SECONDS: Final = 5.0
"""How long a peer may take to read its last answer and to close."""
_LINGER_LEAVING_SECONDS: Final = 1.0
"""The same while the process goes away."""
_STALLED_SECONDS: Final = 30.0
"""How long a peer may read nothing of its last answer while some of it is unsent."""
_MAX_DROPPED_BYTES: Final = 16 * 1024 * 1024
"""What is read and dropped of a request that is answered already; then closed."""
_MAX_LINGERING_OVER: Final = 1000
"""Connections beyond the bound that may linger with their 503; more are closed at once."""
_FRAMING_PER_BYTE: Final = 16
"""Bytes of chunk framing for each byte of content; chunks of one byte need 5."""

_OVERLOADED: Final = OUTCOMES[Unavailable]

_logger: Final = logging.getLogger(__name__)


class _Phase(Enum):
    HEAD = "the peer owes the rest of a request's head"
    BODY = "the peer owes the rest of its body"
    ANSWER = "the application owes an answer, or the connection is idle"
    LAST = "no request is taken; what is to come last waits for the answers before it"
    LINGER = "answered for the last time; what still comes is dropped"
    OVER = "closed, or no longer HTTP"


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """What one process grants its HTTP connections.

    Args:
        header_timeout_seconds: from connecting, or from the first byte after an answer, to
            the end of the head: 408 after.
        body_timeout_seconds: from the end of the head to the end of the body: 408 after, or
            only closed when an answer has begun.
        max_header_bytes: of request line and headers: 431 above, 414 if the request target
            alone is longer. Trailers and the framing of chunks are bounded by it too.
        max_connections: open at once, of any protocol: the next is answered 503.
    """

    header_timeout_seconds: float = HEADER_TIMEOUT_SECONDS
    body_timeout_seconds: float = BODY_TIMEOUT_SECONDS
    max_header_bytes: int = MAX_HEADER_BYTES
    max_connections: int = MAX_CONNECTIONS


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
        self._fed_bytes = self._head_bytes = 0
        self._content_bytes = self._dropped_bytes = 0
        # Of the request parsed last.
        self._head: Head | None = None
        # uvicorn's `cycle` is of the newest request; this is the one being answered.
        self._answering: RequestResponseCycle | None = None
        self._last: Callable[[], None] | None = None
        self._early = b""
        self._last_word: LastWord | None = None
        self._lingering: LingeringClose | None = None
        self._leaving = False
        self._streaming: StreamWriter | None = None
        self._beats: set[Pinged] | None = None

    # Called by the transport and the server.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._last_word = LastWord(transport, self._linger)
        if len(self.connections) > self._bounds.max_connections:
            self._refuse(
                HttpRefusal(
                    _OVERLOADED.status, "too many connections; retry later", _OVERLOADED.headers
                )
            )
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._enter(_Phase.OVER)
        if self._lingering is not None:
            self._lingering.stop()
        # uvicorn tells the newest request's answer only.
        self._abandon(self._answering)
        self._last = None
        super().connection_lost(exc)
        if self._streaming is not None and self._beats is not None:
            self._beats.discard(self._streaming)
            self._streaming.lost()

    def pause_writing(self) -> None:
        if self._streaming is not None:
            self._streaming.pause_writing()
        else:
            super().pause_writing()

    def resume_writing(self) -> None:
        if self._streaming is not None:
            self._streaming.resume_writing()
        else:
            super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._phase in (_Phase.LAST, _Phase.LINGER, _Phase.OVER):
            self._drop(data)
            return
        self._unset_keepalive_if_required()
        before = (self._phase, self.cycle)
        self._feed(data)
        if before == (self._phase, self.cycle):
            # All of it belongs to one head or to one body.
            self._fed_bytes += len(data)
            self._check_fed()
        if self._deadline is None:
            self._watch()

    def shutdown(self) -> None:
        self._leaving = True
        super().shutdown()

    # Called by the parser.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._fed_bytes = self._head_bytes = 0
        if self._phase is not _Phase.HEAD:
            self._enter(_Phase.HEAD)

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        if self._head_bytes > self._bounds.max_header_bytes:
            # RFC 9112, 3: "A server that receives a request-target longer than any URI it
            # wishes to parse MUST respond with a 414 (URI Too Long) status code".
            raise HttpRefusal(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                f"the request target is longer than {self._bounds.max_header_bytes} bytes",
            )
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers after a chunked body come here too, and count.
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > self._bounds.max_header_bytes:
            raise self._too_large()
        # RFC 9110, 6.5.1: "a recipient MUST NOT merge a received trailer field into the header
        # section unless its corresponding header field definition explicitly permits".
        if self._phase is _Phase.HEAD:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        method = self.parser.get_method()
        version = self.parser.get_http_version()
        head = self._head = checked_head(method, self.url, version, self.headers)
        if head.host is not None:
            self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"]
            self.headers.append((b"host", head.host))
        self.scope["method"] = method.decode("ascii")
        self.scope["http_version"] = version
        if not self.parser.should_upgrade():
            self._ask(head)

    def on_body(self, body: bytes) -> None:
        size = len(body)
        self._content_bytes += size
        if self.cycle.response_complete:
            self._dropped_bytes += size
            if self._dropped_bytes > _MAX_DROPPED_BYTES:
                raise HttpRefusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "it is answered already")
            return
        # RFC 9110, 10.1.1: "A server MAY omit sending a 100 (Continue) response if it has
        # already received some or all of the content for the corresponding request".
        self.cycle.waiting_for_100_continue = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._enter(_Phase.ANSWER)
        super().on_message_complete()

    # Called by the answer.

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        # What came of its content while nobody read it is not kept with an idle connection.
        if self._answering is not None:
            self._answering.body = bytearray()
        # RFC 9112, 9.6: after an answer that closes, "the server MUST NOT process any further
        # requests received on that connection."
        if self._phase in (_Phase.LINGER, _Phase.OVER) or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.pipeline:
            self._answering, app = self.pipeline.pop()
            self._start_asgi_task(self._answering, app)
        elif self._last is not None:
            last, self._last = self._last, None
            last()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    # Called by the application.

    def stream(
        self, streamed: Streamed, *, max_outbound_bytes: int, beat_seconds: float
    ) -> StreamWriter | None:
        """See `Streaming.stream`."""
        cycle = self._answering
        if cycle is None or cycle.disconnected or self.transport.is_closing():
            return None
        # For uvicorn the answer is over; for us it ends with the connection.
        cycle.disconnected = True
        shared = Shared.of(self.server_state, self.config)
        writer = self._streaming = StreamWriter(
            shared.turn,
            streamed,
            chunked=bool(cycle.chunked_encoding),
            hang_up=self._linger,
            give_up=self.transport.abort,
        )
        writer.write_through(self.transport, max_outbound_bytes)
        self._beats = shared.beats(beat_seconds).add(writer)
        return writer

    # Taking requests.

    def _feed(self, data: bytes | memoryview) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = memoryview(data)[upgrade.args[0] :]
                assert self._head is not None
                if self._head.websocket:
                    self._upgrade(bytes(data))
                    return
                self._feed(self._without_upgrade())
                if self._phase is _Phase.LAST:
                    return
            except httptools.HttpParserError as error:
                self._refuse(_refusal(error))
                return
            else:
                return

    def _without_upgrade(self) -> bytes:
        """Return the head as that of an ordinary request, for a new parser.

        httptools stops at every upgrade, and takes the content after it for the new protocol.
        """
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        lines = [
            b"%b %b HTTP/%b"
            % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode()),
            *(b"%b: %b" % pair for pair in self.headers if pair[0] != b"upgrade"),
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _ask(self, head: Head) -> None:
        """Hand a request to the application, or queue it behind those before it."""
        self._enter(_Phase.BODY)
        self._fed_bytes = self._content_bytes = self._dropped_bytes = 0
        raw_path, _, query_string = head.target.partition(b"?")
        path = raw_path.decode("ascii")
        self.scope["path"] = self.root_path + (urllib.parse.unquote(path) if "%" in path else path)
        self.scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        self.scope["query_string"] = query_string
        self.scope["extensions"] = cast(Any, {STREAM: self})
        version = self.scope["http_version"]
        kind = CarefulAnswer if version == "1.0" or head.expects_continue else RequestResponseCycle
        cycle = self.cycle = kind(
            scope=self.scope,
            transport=cast(asyncio.Transport, self._last_word),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=head.expects_continue,
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if self._all_answered():
            self._answering = cycle
            self._start_asgi_task(cycle, self.app)
        else:
            # RFC 9112, 9.3.2: a server "MUST send the corresponding responses in the same order
            # that the requests were received."
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _upgrade(self, early: bytes) -> None:
        """Become a WebSocket once the requests before are answered.

        Args:
            early: what came behind the handshake. RFC 6455, 4.1: "Once the client's opening
                handshake has been sent, the client MUST wait for a response from the server
                before sending any further data." Some do not, and a stream of frames without
                its beginning means something else: it is kept.
        """
        self._enter(_Phase.LAST)
        self._early = early
        if not self._all_answered():
            self.flow.pause_reading()
        self._when_answered(self._become_websocket)

    def _become_websocket(self) -> None:
        self._enter(_Phase.OVER)
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        protocol = WebSocketProtocol(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        self.flow.resume_reading()
        assert self._head is not None
        protocol.upgrade(cast(Scope, self.scope), self._head.target)
        early, self._early = self._early, b""
        if early:
            protocol.data_received(early)

    # Bounds.

    def _check_fed(self) -> None:
        if self._phase is _Phase.HEAD:
            # httptools keeps an unfinished line to itself.
            if self._fed_bytes > self._bounds.max_header_bytes:
                self._refuse(self._too_large())
        elif self._phase is _Phase.BODY:
            self._check_framing()

    def _check_framing(self) -> None:
        # RFC 9112, 7.1.1: "A server ought to limit the total length of chunk extensions
        # received in a request to an amount reasonable for the services provided, [...] and
        # generate an appropriate 4xx (Client Error) response if that amount is exceeded."
        # httptools drops extensions unseen: count all that is not content.
        framing = self._fed_bytes - self._content_bytes
        if framing > self._bounds.max_header_bytes + _FRAMING_PER_BYTE * self._content_bytes:
            self._refuse(
                HttpRefusal(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the chunks have {framing} bytes of framing for {self._content_bytes} bytes "
                    "of content; send larger chunks without extensions",
                )
            )

    def _too_large(self) -> HttpRefusal:
        return HttpRefusal(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"the request head is larger than {self._bounds.max_header_bytes} bytes",
        )

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
            case _Phase.ANSWER if self._all_answered() and self.timeout_keep_alive_task is None:
                # Bytes came that begin no request (blank lines) and stopped uvicorn's clock.
                seconds = self._bounds.header_timeout_seconds
            case _:
                return
        self._deadline = self.loop.call_later(seconds, self._missed)

    def _missed(self) -> None:
        self._deadline = None
        if self.flow.read_paused:
            self._watch()  # It may have come: we do not read.
            return
        self._refuse(HttpRefusal(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time"))

    # Ending.

    def _all_answered(self) -> bool:
        # Once one is answered, the next in the queue is begun at once.
        return self._answering is None or self._answering.response_complete

    def _when_answered(self, last: Callable[[], None]) -> None:
        if self._all_answered():
            last()
        else:
            self._last = last

    def _refuse(self, refusal: HttpRefusal) -> None:
        """Answer the request that is coming in with a refusal, in its turn, and close."""
        if self._phase in (_Phase.LAST, _Phase.LINGER, _Phase.OVER):
            return
        _logger.debug("an HTTP request is refused with %d: %s", refusal.status, refusal.text)
        in_body = self._phase is _Phase.BODY
        self._enter(_Phase.LAST)
        if in_body and self.cycle is not self._answering:
            self.pipeline.popleft()  # Not begun: the refusal takes its place.
        elif in_body:
            answered = self.cycle.response_started
            self._abandon(self.cycle)
            if self._streaming is not None:
                self._streaming.end()
            elif answered:
                self._linger()
            else:
                self._answering = None
        self._when_answered(partial(self._say, refusal))

    def _say(self, refusal: HttpRefusal) -> None:
        if self._phase is not _Phase.LAST or self.transport.is_closing():
            return
        text = refusal.text.encode()
        more = "".join(f"{name}: {value}\r\n" for name, value in refusal.headers.items())
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: %d\r\n%sconnection: close\r\n\r\n%s"
            % (refusal.status, refusal.status.phrase.encode(), len(text), more.encode(), text)
        )
        self._linger()

    def _linger(self) -> None:
        """Close in stages, so that the peer can read what was written."""
        if self._phase in (_Phase.LINGER, _Phase.OVER):
            return
        self._enter(_Phase.LINGER)
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if len(self.connections) > self._bounds.max_connections + _MAX_LINGERING_OVER:
            self.transport.close()
            return
        seconds = _LINGER_LEAVING_SECONDS if self._leaving else _LINGER_SECONDS
        self._lingering = LingeringClose(
            self.loop,
            self.transport,
            seconds=seconds,
            stalled_seconds=_STALLED_SECONDS,
            max_bytes=_MAX_DROPPED_BYTES,
        )

    def _drop(self, data: bytes) -> None:
        """Take what comes after the last request that is answered."""
        if self._lingering is not None:
            self._lingering.dropped(len(data))
        elif self._phase is _Phase.LAST:
            self._dropped_bytes += len(data)
            if self._last == self._become_websocket:
                # An answer before it reads on; frames are kept, and few.
                self._early += data
                self.flow.pause_reading()
                if self._dropped_bytes > self._bounds.max_header_bytes:
                    self.transport.abort()
            elif self._dropped_bytes > _MAX_DROPPED_BYTES:
                self._linger()

    @staticmethod
    def _abandon(cycle: RequestResponseCycle | None) -> None:
        """Tell the application that its client is gone."""
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()


def _refusal(error: httptools.HttpParserError) -> HttpRefusal:
    # What a callback raised comes wrapped.
    cause = error.__context__
    if isinstance(cause, HttpRefusal):
        return cause
    if cause is not None:
        _logger.error("taking an HTTP request failed", exc_info=cause)
        return HttpRefusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")
    return HttpRefusal(HTTPStatus.BAD_REQUEST, "this is not a valid HTTP request")
