"""One HTTP/1.1 connection: what its peer owes, until when, and how it ends.

uvicorn keeps a connection whose request head never ends open for ever. Here what is owed has a
time, a connection has a phase, and the last answer can be read before the connection is closed.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import is_ssl
from uvicorn.server import ServerState

from app.defaults import (
    BODY_TIMEOUT_SECONDS,
    HEADER_TIMEOUT_SECONDS,
    MAX_CONNECTIONS,
    MAX_HEADER_BYTES,
)
from app.errors import RateLimited, Unavailable
from app.peer import Peer
from app.telemetry.counters import COUNTED
from app.telemetry.log_fields import event
from app.wire.exchange import Exchange
from app.wire.http_answer import Answer, LastWord
from app.wire.keepalive import Pinged
from app.wire.lingering import LingeringClose
from app.wire.outcomes import OUTCOMES
from app.wire.peer import Peers
from app.wire.places import Place
from app.wire.request_head import HttpRefusal
from app.wire.stream import StreamWriter
from app.wire.watched import log_refused

__all__ = ["MAX_DROPPED_BYTES", "HttpBounds", "HttpConnection", "Phase"]

_LINGER_SECONDS: Final = 5.0
"""How long a peer may take to read its last answer and to close."""
_LINGER_LEAVING_SECONDS: Final = 1.0
"""The same while the process goes away."""
_STALLED_SECONDS: Final = 30.0
"""How long a peer may read nothing of its last answer while some of it is unsent."""
_LAST_REQUEST_SECONDS: Final = 1.0
"""A peer that connected or was answered this short a time ago may send a request, while the
process goes away: it may be on its way."""
MAX_DROPPED_BYTES: Final = 16 * 1024 * 1024
"""What is read and dropped of a request that is answered already; then closed."""
_MAX_LINGERING_OVER: Final = 1000
"""Connections beyond the bound that may linger with their 503; more are closed at once."""

_OVERLOADED: Final = OUTCOMES[Unavailable]
_TOO_MANY: Final = OUTCOMES[RateLimited]

_logger: Final = logging.getLogger(__name__)


class Phase(Enum):
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


class HttpConnection(HttpToolsProtocol):
    """The life of one connection; what is said on it is the subclass' business.

    Args:
        config: of the server.
        server_state: of the server.
        app_state: the lifespan's state.
        bounds: see there.
        peers: of the server; None: no proxy is trusted.
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
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = bounds or HttpBounds()
        self._peers = peers or Peers()
        self._caller: Peer
        self._place: Place | None = None
        self._of_proxy = False
        self._surplus = False
        self._phase = Phase.HEAD
        self._deadline: asyncio.TimerHandle | None = None
        # uvicorn's `cycle` is of the newest request; this is the one being answered.
        self._answering: RequestResponseCycle | Exchange | None = None
        self._last: Callable[[], None] | None = None
        self._last_word: LastWord | None = None
        self._lingering: LingeringClose | None = None
        self._leaving = False
        self._streaming: StreamWriter | None = None
        self._beats: set[Pinged] | None = None

    # Called by the transport and the server.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # uvicorn's own would ask for addresses of both sides, which takes system calls.
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.scheme = "https" if is_ssl(transport) else "http"
        COUNTED.opened("http")
        self._caller = self._peers.of_connection(transport)
        self._last_word = LastWord(transport, self._linger)
        if len(self.connections) > self._bounds.max_connections:
            COUNTED.refusals["limit"] += 1
            self._refuse(
                HttpRefusal(
                    _OVERLOADED.status, "too many connections; retry later", _OVERLOADED.headers
                )
            )
        elif self._has_place():
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._streaming is None:
            COUNTED.ended("http")
        self._enter(Phase.OVER)
        if self._lingering is not None:
            self._lingering.stop()
        # uvicorn tells the newest request's answer only.
        self._abandon(self._answering)
        self._last = None
        self._give_place_back()
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

    def shutdown(self) -> None:
        """The server is going away: close when what was asked for is answered. Idempotent."""
        self._leaving = True
        if self._streaming is not None:
            self._streaming.shutdown()
            return
        if self._phase is Phase.OVER:
            return
        if self._phase is Phase.BODY:
            # The rest of a request is on its way; `Shared.leaving` makes its answer the last.
            if self.cycle is not None:
                self.cycle.keep_alive = False
            return
        if self._phase in (Phase.HEAD, Phase.ANSWER) and self._all_answered():
            left = _LAST_REQUEST_SECONDS - self._quiet_seconds()
            if left > 0:
                self.loop.call_later(left, self.shutdown)
                return
        super().shutdown()

    @property
    def busy(self) -> bool:
        """See `Session.busy`; what is under way here is not cut short by `shutdown`."""
        return False

    def _quiet_seconds(self) -> float:
        """Return how long ago the peer connected, began a request or was answered."""
        clocks = (
            (self._deadline, self._bounds.header_timeout_seconds),
            (self.timeout_keep_alive_task, self.timeout_keep_alive),
        )
        begun = (clock.when() - seconds for clock, seconds in clocks if clock is not None)
        return self.loop.time() - next(begun, 0.0)

    # Its place among those of its address.

    def _has_place(self) -> bool:
        """Count the connection; False: its address has too many, and it is closed.

        Some that are too many stay until their request can be answered: there are clients that
        take an answer to no request for a fault of their own.
        """
        places = self._peers.places
        if not places.most:
            return True
        self._place = Place(places)
        self._of_proxy = self._peers.is_proxy(self._caller)
        if self._of_proxy or self._place.take(self._caller):
            return True
        self._surplus = self._place.may_linger()
        if not self._surplus:
            self._enter(Phase.OVER)
            self.transport.close()
        return self._surplus

    def _counts_as(self, peer: Peer) -> bool:
        """Count what stays open behind a proxy as its client's; False: that has too many."""
        return self._place is None or self._place.take(peer)

    def _give_place_back(self) -> None:
        if self._place is not None:
            self._place.give_back()

    def _too_many(self) -> HttpRefusal:
        return HttpRefusal(
            _TOO_MANY.status,
            f"too many connections from this address; allowed are {self._peers.places.most}",
            _TOO_MANY.headers,
        )

    # Clocks.

    def _enter(self, phase: Phase) -> None:
        """Go on to `phase`: what the last one waited for has come."""
        self._phase = phase
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch(self) -> None:
        """Start the clock of what the peer owes; requests that come whole never need it."""
        match self._phase:
            case Phase.HEAD:
                seconds = self._bounds.header_timeout_seconds
            case Phase.BODY:
                seconds = self._bounds.body_timeout_seconds
            case Phase.ANSWER if self._all_answered() and self.timeout_keep_alive_task is None:
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
        if self._phase in (Phase.LAST, Phase.LINGER, Phase.OVER):
            return
        _logger.debug(
            "an HTTP request is refused with %d: %s",
            refusal.status,
            refusal.text,
            extra=event(
                "request.malformed",
                status=int(refusal.status),
                peer=self._caller,
            ),
        )
        in_body = self._phase is Phase.BODY
        self._enter(Phase.LAST)
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
        if self._phase is not Phase.LAST or self.transport.is_closing():
            return
        if self.access_log:
            log_refused(self._caller, refusal.status)
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
        if self._phase in (Phase.LINGER, Phase.OVER):
            return
        self._enter(Phase.LINGER)
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
            max_bytes=MAX_DROPPED_BYTES,
        )

    @staticmethod
    def _abandon(cycle: RequestResponseCycle | Exchange | None) -> None:
        """Tell the application that its client is gone."""
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if isinstance(cycle, Exchange | Answer) and cycle.watched is not None:
                cycle.watched.ended()
