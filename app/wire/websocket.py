"""The WebSocket protocol class, for uvicorn under `BoundedHttpProtocol`.

An endpoint is called once, to answer the upgrade request (`upgrade.py`). From then on
the connection itself drives the `Session`, without a task and without a queue.

    CONNECTING ──accepted──► OPEN ──close frame──► CLOSING ──► CLOSED
         └────────────denied, refused, lost────────────────────▲
"""

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.server import ServerState

from app.peer import UNKNOWN_PEER, Peer
from app.telemetry.counters import COUNTED
from app.telemetry.log_fields import event
from app.wire.close_codes import CloseCode
from app.wire.closings import log_closing
from app.wire.frames import PING, Opcode, close_frame
from app.wire.handshake import Handshake
from app.wire.inbound import FrameError, FrameReader
from app.wire.keepalive import Pinged
from app.wire.outbound import CLOSE_TIMEOUT_SECONDS, FrameWriter
from app.wire.peer import PEER
from app.wire.places import Place
from app.wire.scope import websocket_scope
from app.wire.session import MAX_UNACCEPTED_BYTES, Session
from app.wire.shared import Shared
from app.wire.upgrade import ENDPOINTS, SOCKET, SocketEndpoint, Upgrade
from app.wire.watched import log_upgrade, shown_path

__all__ = ["WebSocketProtocol"]

_EVENTS_PER_TURN: Final = 128
"""Messages and control frames of one connection taken in one turn of the loop."""
_SECONDS_PER_TURN: Final = 0.01
"""And for how long: a document that is parsed for the first time takes milliseconds."""

_SHUTDOWN_SECONDS: Final = 4.0
"""How long a session may take to say its last after `shutdown`."""

_NO_CODE: Final = 1005
_ABNORMAL: Final = 1006
# RFC 6455, 7.1.5: what "_The WebSocket Connection Close Code_ is considered to be" when
# the close frame had none, and when no close frame came.

_COUNTED_CODES: Final = frozenset({*CloseCode, _NO_CODE, _ABNORMAL})

_log: Final = logging.getLogger(__name__)


class _Phase(Enum):
    CONNECTING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class WebSocketProtocol(FrameWriter):
    """One connection, constructed by `BoundedHttpProtocol` when an upgrade is asked for.

    Of uvicorn's settings, `ws_max_size` bounds a message once the peer is accepted (before:
    `MAX_UNACCEPTED_BYTES`, if that is less), `ws_ping_interval` and `ws_ping_timeout`
    (seconds) find dead peers; `ws_per_message_deflate` and `ws_max_queue` have no meaning here.

    Args:
        config: of the server.
        server_state: of the server.
        app_state: the lifespan's state; the request's scope has it too. See `ENDPOINTS`.
    """

    __slots__ = (
        "_after_last",
        "_config",
        "_endpoint_of",
        "_more_to_read",
        "_paused",
        "_peer",
        "_phase",
        "_place",
        "_reader",
        "_received",
        "_server",
        "_server_state",
        "_session",
        "_silent_visits",
        "_story",
        "_timer",
        "_upgrade",
        "_visits",
    )

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        server = Shared.of(server_state, config)
        super().__init__(server.turn)
        self._server = server
        self._config = config
        self._server_state = server_state
        self._phase = _Phase.CONNECTING
        self._place: Place | None = None
        # None once the peer broke the protocol: what it sends is no longer understood.
        self._reader: FrameReader | None = FrameReader(
            min(config.ws_max_size, MAX_UNACCEPTED_BYTES)
        )
        self._endpoint_of: Callable[[str], SocketEndpoint | None] = app_state.get(
            ENDPOINTS, _no_endpoint
        )
        self._peer = UNKNOWN_PEER
        self._upgrade: Upgrade | None = None
        self._session: Session | None = None
        self._visits: set[Pinged] | None = None
        self._silent_visits = 0
        self._timer: asyncio.TimerHandle | None = None
        # For the log, if it is wanted: the path without its query, and when it was opened.
        self._story: tuple[str, float | None] | None = None
        self._received = 0
        # Reading stops for the session's sake, or until the next turn.
        self._paused = False
        self._more_to_read = False
        # What to do once the last frame is written.
        self._after_last: Callable[[], None] | None = None

    # Called by the HTTP protocol and the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server_state.connections.add(cast(Any, self))

    def upgrade(self, http: Scope, target: bytes, peer: Peer, place: Place | None = None) -> None:
        """Take the upgrade request: refuse it, or ask for an answer.

        Args:
            http: of the request, as far as uvicorn fills it for an upgrade: without a path.
            target: of the request.
            peer: who sent it.
            place: what the connection is counted as; given back at its end.
        """
        self._peer = peer
        if self._config.access_log or _log.isEnabledFor(logging.DEBUG):
            self._story = (shown_path(target), None)
        self._place = place
        handshake = Handshake(http)
        if handshake.refusal is not None:
            self.refuse(handshake.refusal)
            return
        upgrade = self._upgrade = Upgrade(self, handshake, self._server_state.default_headers)
        extensions = {SOCKET: upgrade, PEER: peer}
        scope = websocket_scope(http, target, handshake.subprotocols, extensions)
        endpoint = self._endpoint_of(scope["path"])
        if endpoint is not None:
            upgrade.ask_endpoint(endpoint, scope)
            return
        app = cast(ASGIApp, self._config.loaded_app)
        task = self._server.loop.create_task(upgrade.ask(app, scope))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def data_received(self, data: bytes) -> None:
        self._silent_visits = 0
        if self._phase is _Phase.CONNECTING:
            # The client speaks before it is answered; there is room for one read.
            self._transport.pause_reading()
        if self._reader is not None:
            self._reader.feed(data)
            self._take_events()

    def eof_received(self) -> None:
        """Let the transport close."""

    def resume_writing(self) -> None:
        # The peer reads: it is alive even if its pong waits behind what it reads.
        self._silent_visits = 0
        super().resume_writing()
        self._hang_up_when_written()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if self._phase is _Phase.OPEN:
            _count_close("client", _ABNORMAL)
        self._phase = _Phase.CLOSED
        self._stop_visits()
        self._stop_timer()
        self._server_state.connections.discard(cast(Any, self))
        if self._place is not None:
            self._place.give_back()
        self.end_writing()
        self._reader = self._after_last = self._upgrade = None
        self._ended(_ABNORMAL, "nobody")

    def shutdown(self) -> None:
        """The server is going away: close with 1012 when the session has said its last.

        Idempotent.
        """
        if self._phase is _Phase.CONNECTING:
            if self._upgrade is not None:
                self._upgrade.going_away()
        elif self._session is not None and self._phase is _Phase.OPEN and self._timer is None:
            self._start_timer(
                _SHUTDOWN_SECONDS,
                lambda: self.close(CloseCode.SERVICE_RESTART, "restarting"),
            )
            self._session.shutdown()

    @property
    def busy(self) -> bool:
        """See `Session.busy`."""
        return self._session is not None and self._session.busy

    # The answer to the upgrade request.

    def open(self, response: bytes, max_outbound_bytes: int, session: Session | None) -> None:
        """See `Connection.open`."""
        if self._phase is not _Phase.CONNECTING or self._transport.is_closing():
            return
        self._phase = _Phase.OPEN
        self._upgrade = None
        if self._story is not None:
            path, _ = self._story
            self._story = (path, self._server.loop.time())
            if self._config.access_log:
                log_upgrade(self._peer, path, HTTPStatus.SWITCHING_PROTOCOLS)
            _log.debug(
                "socket opened",
                extra=event(
                    "socket.opened",
                    path=path,
                    peer=self._peer,
                ),
            )
        self._transport.write(response)
        self.write_through(self._transport, max_outbound_bytes)
        self._visits = self._server.keepalive.add(self)
        # What the peer said before it was answered is taken in the next turn.
        self._read_on()
        if session is not None:
            self._session = session
            session.opened(self)

    def refuse(self, response: bytes) -> None:
        """See `Connection.refuse`."""
        if self._phase is not _Phase.CONNECTING or self._transport.is_closing():
            return
        self._phase = _Phase.CLOSING
        if self._story is not None and self._config.access_log:
            status = int(response[len(b"HTTP/1.1 ") :][:3])
            log_upgrade(self._peer, self._story[0], status)
        self._reader = self._upgrade = self._story = None
        self._transport.write(response)
        self._start_timer(CLOSE_TIMEOUT_SECONDS, self._transport.abort)
        self._half_close()()
        self._transport.resume_reading()

    # The Outlet, whose `send` is the FrameWriter's.

    def close(self, code: int, reason: str) -> None:
        """See `Outlet.close`."""
        self._say_goodbye(code, reason)

    def accept_peer(self, max_message_bytes: int | None = None) -> None:
        """See `Outlet.accept_peer`."""
        if self._reader is not None:
            most = self._config.ws_max_size
            self._reader.max_message_bytes = min(most, max_message_bytes or most)

    def pause_reading(self) -> None:
        """See `Outlet.pause_reading`."""
        if self._phase is _Phase.OPEN and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `Outlet.resume_reading`."""
        if self._paused:
            self._paused = False
            self._read_on()

    # Reading.

    def _take_events(self) -> None:
        """Take what the reader has, at most one turn's share."""
        if self._more_to_read:
            return
        until = time.monotonic() + _SECONDS_PER_TURN
        for _ in range(_EVENTS_PER_TURN):
            if self._paused or self._reader is None or self._phase is _Phase.CONNECTING:
                return
            try:
                event = self._reader.next()
            except FrameError as error:
                self._fail(error)
                return
            if event is None:
                return
            opcode, payload = event
            if opcode is Opcode.CLOSE:
                self._peer_said_goodbye(payload)
                return
            if self._phase is not _Phase.OPEN:
                continue  # After our close frame only the peer's matters.
            if opcode is Opcode.PING:
                self.send_pong(payload)
            elif opcode is not Opcode.PONG:
                self._message(opcode, payload)
                if time.monotonic() > until:
                    break
        self._transport.pause_reading()
        self._read_on()

    def _message(self, opcode: Opcode, payload: bytes) -> None:
        assert self._session is not None, "an open connection has a session"
        self._received += 1
        COUNTED.frames_in += 1
        if opcode is Opcode.TEXT:
            self._session.received(payload)
        else:
            self._session.received_binary()

    def _read_on(self) -> None:
        """Go on with what the reader still has, in the next turn; never within a call."""
        if not self._more_to_read:
            self._more_to_read = True
            self._server.loop.call_soon(self._take_more)

    def _take_more(self) -> None:
        self._more_to_read = False
        if self._phase is _Phase.CLOSED:
            return
        self._take_events()
        if not (self._paused or self._more_to_read or self._transport.is_closing()):
            self._transport.resume_reading()

    # Keeping alive.

    def visit(self, silent_visits_allowed: int) -> None:
        """See `Pinged.visit`."""
        if self._paused:
            # Its pong may be here, unread for our own sake.
            self._silent_visits = 0
        if self._silent_visits >= silent_visits_allowed:
            # 1001 and not 1011, as many servers have it: clients are to come back.
            self._say_goodbye(CloseCode.GOING_AWAY, "keepalive timeout")
            return
        self._silent_visits += 1
        if not self._blocked:
            self.send_framed(PING)

    def _stop_visits(self) -> None:
        if self._visits is not None:
            self._visits.discard(self)
            self._visits = None

    # Closing.

    def fell_behind(self) -> None:
        self._say_goodbye(CloseCode.TRY_AGAIN_LATER, "reading too slowly", instead=True)

    def _fail(self, error: FrameError) -> None:
        self._reader = None
        self._say_goodbye(error.code, error.reason)
        self._after_last = self._half_close()
        self._hang_up_when_written()

    def _say_goodbye(self, code: int, reason: str, *, instead: bool = False) -> None:
        """Send a close frame and give the peer a while to answer it."""
        if self._phase is not _Phase.OPEN:
            return
        self._phase = _Phase.CLOSING
        _count_close("server", code)
        self._stop_visits()
        self._start_timer(CLOSE_TIMEOUT_SECONDS, self._transport.abort)
        self.send_last(close_frame(code, reason), instead=instead)
        # Not within the session's own call, which may be one of a fan-out.
        self._server.loop.call_soon(self._ended, code, "server")
        log_closing(code, self._peer)
        if self._paused:
            self._paused = False
            self._read_on()

    def _peer_said_goodbye(self, payload: bytes) -> None:
        # RFC 6455, 5.5.1: "When sending a Close frame in response, the endpoint typically
        # echos the status code it received."
        code = int.from_bytes(payload[:2], "big") if payload else None
        self._reader = None
        if self._phase is _Phase.OPEN:
            self._phase = _Phase.CLOSING
            _count_close("client", code or _NO_CODE)
            self._stop_visits()
            self._start_timer(CLOSE_TIMEOUT_SECONDS, self._transport.abort)
            self.send_last(close_frame(code, ""))
            self._ended(code or _NO_CODE, "client")
        # 7.1.1: the server closes the TCP connection first.
        self._after_last = self._transport.close
        self._hang_up_when_written()

    def _half_close(self) -> Callable[[], None]:
        """Return how to end what we send.

        Half closed: the peer sees the end at once, and what it still sends is read and
        dropped until the timer ends it, since closing with unread data would reset the
        connection and could take our last word with it (RFC 9112, 9.6).
        """
        transport = self._transport
        return transport.write_eof if transport.can_write_eof() else transport.close

    def _hang_up_when_written(self) -> None:
        if self._after_last is not None and not self._blocked:
            hang_up, self._after_last = self._after_last, None
            if not self._transport.is_closing():
                hang_up()

    def _ended(self, code: int, by: str) -> None:
        """Tell the session, once."""
        path, opened_at = self._story or ("", None)
        self._story = None
        if opened_at is not None:
            # Not the reason: it is the client's, or may quote what came.
            _log.debug(
                "socket closed",
                extra=event(
                    "socket.closed",
                    path=path,
                    code=code,
                    by=by,
                    seconds=self._server.loop.time() - opened_at,
                    received=self._received,
                    sent=self.sent_frames,
                    sent_bytes=self.sent_bytes,
                    peer=self._peer,
                ),
            )
        session, self._session = self._session, None
        if session is not None:
            session.lost()

    def _start_timer(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._server.loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _no_endpoint(_path: str) -> SocketEndpoint | None:
    return None


def _count_close(by: str, code: int) -> None:
    # A client may send any code of 5,000.
    COUNTED.closes[by, str(int(code)) if code in _COUNTED_CODES else "other"] += 1
