"""uvicorn's HTTP/1.1 protocol with bounds on what a slow or greedy peer may hold.

uvicorn keeps a connection whose request head never ends open for ever, and grows its head
without bound. Here a head must arrive whole within a time and a size, a body within a time,
and the number of connections is bounded, upgraded ones included. uvicorn also passes on what
RFC 9112 says to refuse; `request_head` judges each head before the application sees it.
"""

import asyncio
import logging
import urllib.parse
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

import httptools
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from app.peer import Peer
from app.telemetry.counters import COUNTED
from app.wire.http_answer import Answer, CarefulAnswer, WatchedAnswer
from app.wire.http_connection import MAX_DROPPED_BYTES, HttpBounds, Phase
from app.wire.ordinary import OrdinaryRequests
from app.wire.peer import PEER, Peers, peer_of
from app.wire.request_head import Head, HttpRefusal, checked_head
from app.wire.shared import Shared
from app.wire.stream import STREAM, Streamed, StreamWriter
from app.wire.watched import WATCHED, kept_request_id, watched
from app.wire.websocket import WebSocketProtocol

__all__ = ["BoundedHttpProtocol", "HttpBounds"]

_FRAMING_PER_BYTE: Final = 16
"""Bytes of chunk framing for each byte of content; chunks of one byte need 5."""

_logger: Final = logging.getLogger(__name__)


class BoundedHttpProtocol(OrdinaryRequests):
    """One HTTP connection, or the beginning of a `WebSocketProtocol`.

    For `uvicorn.Config(http=, ws=WebSocketProtocol)`; bind `bounds` and `peers` with
    `functools.partial`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: HttpBounds | None = None,
        peers: Peers | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop, bounds=bounds, peers=peers)
        self._fed_bytes = self._head_bytes = 0
        self._content_bytes = self._dropped_bytes = 0
        # Of the request parsed last.
        self._head: Head | None = None
        self._becoming = False
        self._early = b""

    # Called by the transport.

    def data_received(self, data: bytes) -> None:
        if self._phase in (Phase.LAST, Phase.LINGER, Phase.OVER):
            self._drop(data)
            return
        self._unset_keepalive_if_required()
        if self._repeated is not None and self._answered_again(self._repeated, data):
            return
        before = (self._phase, self.cycle)
        self._feed(data)
        if before == (self._phase, self.cycle):
            # All of it belongs to one head or to one body.
            self._fed_bytes += len(data)
            self._check_fed()
        if self._deadline is None:
            self._watch()

    # Called by the parser.

    def on_message_begin(self) -> None:
        self._settle()
        super().on_message_begin()
        self._fed_bytes = self._head_bytes = 0
        if self._phase is not Phase.HEAD:
            self._enter(Phase.HEAD)

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
        if self._phase is Phase.HEAD:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        method = self.parser.get_method()
        version = self.parser.get_http_version()
        head = self._head = checked_head(method, self.url, version, self.headers)
        if self._surplus:
            raise self._too_many()
        if head.host is not None:
            self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"]
            self.headers.append((b"host", head.host))
        self.scope["method"] = method.decode("ascii")
        self.scope["http_version"] = version
        if self.parser.should_upgrade():
            return
        self._enter(Phase.BODY)
        self._fed_bytes = self._content_bytes = self._dropped_bytes = 0
        if not self._may_be_ordinary(method, head):
            self._ask(head, keep_alive=self.parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        size = len(body)
        self._content_bytes += size
        if self._held is not None:
            self._held.body += body
            return
        if self.cycle.response_complete:
            self._dropped_bytes += size
            if self._dropped_bytes > MAX_DROPPED_BYTES:
                raise HttpRefusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "it is answered already")
            return
        # RFC 9110, 10.1.1: "A server MAY omit sending a 100 (Continue) response if it has
        # already received some or all of the content for the corresponding request".
        self.cycle.waiting_for_100_continue = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._enter(Phase.ANSWER)
        if self._held is not None:
            self._held.whole = True
        else:
            super().on_message_complete()

    # Called by the answer.

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        # What came of its content while nobody read it is not kept with an idle connection.
        if isinstance(self._answering, RequestResponseCycle):
            self._answering.body = bytearray()
        # RFC 9112, 9.6: after an answer that closes, "the server MUST NOT process any further
        # requests received on that connection."
        if self._phase in (Phase.LINGER, Phase.OVER) or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self._of_proxy and not self._becoming:
            # A stream that was refused after all: its client is not here any more.
            self._give_place_back()
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

    def take_place(self) -> bool:
        """See `Streaming.take_place`."""
        cycle = self._answering
        if not isinstance(cycle, RequestResponseCycle) or self._peers.places.most == 0:
            return True
        return self._counts_as(peer_of(cast(Scope, cycle.scope)))

    def stream(
        self, streamed: Streamed, *, max_outbound_bytes: int, beat_seconds: float
    ) -> StreamWriter | None:
        """See `Streaming.stream`."""
        cycle = self._answering
        if (
            not isinstance(cycle, RequestResponseCycle)
            or cycle.disconnected
            or self.transport.is_closing()
        ):
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
            peer=self._caller,
        )
        COUNTED.ended("http")  # from here on it is the stream's
        writer.write_through(self.transport, max_outbound_bytes)
        self._beats = shared.beats(beat_seconds).add(writer)
        if self._leaving:
            # It was told before this began. In the next turn: nobody has the writer yet.
            self.loop.call_soon(writer.shutdown)
        return writer

    # Taking requests.

    def _feed(self, data: bytes | memoryview) -> None:
        came = bytes(data) if self._responder is not None else b""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = memoryview(data)[upgrade.args[0] :]
                assert self._head is not None
                if self._head.websocket:
                    peer = self._peers.of_request(self._caller, self.headers)
                    if self._counts_as(peer):
                        self._upgrade(bytes(data), peer)
                    else:
                        self._refuse(self._too_many())
                    return
                self._feed(self._without_upgrade())
                if self._phase is Phase.LAST:
                    return
            except httptools.HttpParserError as error:
                self._settle()
                self._refuse(_refusal(error))
                return
            else:
                self._settle_alone(came)
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

    def _ask(self, head: Head, *, keep_alive: bool) -> None:
        """Hand a request to the application, or queue it behind those before it."""
        raw_path, _, query_string = head.target.partition(b"?")
        path = raw_path.decode("ascii")
        self.scope["path"] = self.root_path + (urllib.parse.unquote(path) if "%" in path else path)
        self.scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        self.scope["query_string"] = query_string
        peer = self._peers.of_request(self._caller, self.headers)
        self._requests += 1
        request_id = kept_request_id(self.headers) or f"{peer.connection_id}-{self._requests}"
        watch = watched(
            peer,
            request_id,
            self.scope["method"],
            head.target,
            self.headers,
            access_log=self.access_log,
        )
        extensions = {STREAM: self, PEER: peer, WATCHED: watch}
        self.scope["extensions"] = cast(Any, extensions)
        version = self.scope["http_version"]
        kind = Answer
        if watch is not None:
            kind = WatchedAnswer
        elif version == "1.0" or head.expects_continue:
            kind = CarefulAnswer
        cycle = self.cycle = kind(
            scope=self.scope,
            transport=cast(asyncio.Transport, self._last_word),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[
                *self.server_state.default_headers,
                (b"x-request-id", request_id.encode()),
            ],
            message_event=asyncio.Event(),
            expect_100_continue=head.expects_continue,
            keep_alive=version == "1.1" and keep_alive and not self._shared().leaving,
            on_response=self.on_response_complete,
        )
        cycle.known_as(peer.connection_id, request_id, watch)
        if self._all_answered():
            self._answering = cycle
            self._start_asgi_task(cycle, self.app)
        else:
            # RFC 9112, 9.3.2: a server "MUST send the corresponding responses in the same order
            # that the requests were received."
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _upgrade(self, early: bytes, peer: Peer) -> None:
        """Become a WebSocket once the requests before are answered.

        Args:
            peer: who asks.
            early: what came behind the handshake. RFC 6455, 4.1: "Once the client's opening
                handshake has been sent, the client MUST wait for a response from the server
                before sending any further data." Some do not, and a stream of frames without
                its beginning means something else: it is kept.
        """
        self._enter(Phase.LAST)
        self._becoming = True
        self._early = early
        if not self._all_answered():
            self.flow.pause_reading()
        self._when_answered(partial(self._become_websocket, peer))

    def _become_websocket(self, peer: Peer) -> None:
        self._enter(Phase.OVER)
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        COUNTED.ended("http")
        protocol = WebSocketProtocol(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        self.flow.resume_reading()
        assert self._head is not None
        place, self._place = self._place, None
        protocol.upgrade(cast(Scope, self.scope), self._head.target, peer, place)
        early, self._early = self._early, b""
        if early:
            protocol.data_received(early)

    # Bounds.

    def _check_fed(self) -> None:
        if self._phase is Phase.HEAD:
            # httptools keeps an unfinished line to itself.
            if self._fed_bytes > self._bounds.max_header_bytes:
                self._refuse(self._too_large())
        elif self._phase is Phase.BODY:
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

    def _drop(self, data: bytes) -> None:
        """Take what comes after the last request that is answered."""
        if self._lingering is not None:
            self._lingering.dropped(len(data))
        elif self._phase is Phase.LAST:
            self._dropped_bytes += len(data)
            if self._becoming:
                # An answer before it reads on; frames are kept, and few.
                self._early += data
                self.flow.pause_reading()
                if self._dropped_bytes > self._bounds.max_header_bytes:
                    self.transport.abort()
            elif self._dropped_bytes > MAX_DROPPED_BYTES:
                self._linger()


def _refusal(error: httptools.HttpParserError) -> HttpRefusal:
    # What a callback raised comes wrapped.
    cause = error.__context__
    if isinstance(cause, HttpRefusal):
        return cause
    if cause is not None:
        _logger.error("taking an HTTP request failed", exc_info=cause)
        return HttpRefusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")
    return HttpRefusal(HTTPStatus.BAD_REQUEST, "this is not a valid HTTP request")
