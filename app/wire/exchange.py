"""An ordinary request and its answer, without an ASGI call.

A scope, a task, an event and two awaited messages for each request cost more than a small
answer itself. So a request that has come whole is offered to a `Responder` first; what that
declines, and all that is not ordinary, goes to the application as ever.
"""

import asyncio
import logging
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Final, Protocol

from app.peer import UNKNOWN_PEER, Peer
from app.telemetry.log_context import Asked
from app.telemetry.traces import TRACES
from app.wire.watched import WatchedRequest, kept_request_id, watched

__all__ = ["RESPONDER", "AnswerWriter", "Exchange", "RequestHead", "Responder"]

RESPONDER: Final = "widgetwire.responder"
"""The key in the lifespan's state under which an application offers its `Responder`."""

_STATUS_LINES: Final = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus
}
_logger: Final = logging.getLogger(__name__)


class RequestHead:
    """What a client says before the body; the same object while it says the same again.

    Attributes:
        target: as it came, in origin-form.
        fields: names in lower case, without `Content-Length`.
        peer: who says it.
        judged: what the responder made of it, for the next request with this head.
        request_id: what it names its requests by; None: each is given an id.
    """

    __slots__ = ("fields", "id_line", "judged", "peer", "request_id", "target")

    def __init__(
        self, target: bytes, fields: list[tuple[bytes, bytes]], peer: Peer = UNKNOWN_PEER
    ) -> None:
        self.target = target
        self.fields = fields
        self.peer = peer
        self.judged: object = None
        self.request_id = kept_request_id(fields)
        # Of each answer; a number follows where none is kept.
        if self.request_id is None:
            self.id_line = b"x-request-id: %b-" % peer.connection_id.encode()
        else:
            self.id_line = b"x-request-id: %b\r\n" % self.request_id.encode()


class Responder(Protocol):
    """Whoever answers ordinary requests."""

    targets: frozenset[bytes]
    """Request targets of the POSTs that it wants to see."""

    def respond(self, exchange: "Exchange") -> bool:
        """Answer with `exchange.answer`, now or from a coroutine given to `exchange.run`.

        Called on the event loop; never raises.

        Returns:
            False: not this one. Nothing has been done, and the application is asked.
        """


class AnswerWriter(Protocol):
    """A connection as an exchange sees it."""

    access_log: bool
    """Whether there is a line in the log for each request."""

    def write_answer(
        self, status_line: bytes, fields: bytes, body: bytes, keep_alive: bool
    ) -> None:
        """Write the answer to the request being answered, and go on to the next.

        Args:
            status_line: ended by CRLF.
            fields: header lines, each ended by CRLF.
            body: all of it.
            keep_alive: False: it is the last, and the connection is closed behind it.
        """

    def run(self, answering: Coroutine[Any, Any, None], asked: Asked) -> None:
        """Run what answers a request; the server waits for it when it ends.

        Args:
            answering: never fails.
            asked: whose it is, for the log.
        """


class Exchange:
    """One POST that has come whole.

    It stands where uvicorn's `RequestResponseCycle` stands for others, and has as much of its
    face as a connection looks at.

    Args:
        connection: of the request.
        head: see there.
        body: all of it.
        keep_alive: whether the client wants to go on with the connection.
        number: of the request on its connection.

    Attributes:
        watched: what the access log and traces have of it; None: nothing, or not yet.
    """

    __slots__ = (
        "_connection",
        "body",
        "disconnected",
        "head",
        "keep_alive",
        "number",
        "response_complete",
        "watched",
    )

    def __init__(
        self,
        connection: AnswerWriter,
        head: RequestHead,
        body: bytes,
        keep_alive: bool,
        number: int = 0,
    ) -> None:
        self._connection = connection
        self.head = head
        self.body = body
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.number = number
        self.watched: WatchedRequest | None = None

    @property
    def connection_id(self) -> str:
        """Of its connection."""
        return self.head.peer.connection_id

    @property
    def request_id(self) -> str:
        """Kept or made; it stands in the answer and in the log."""
        return self.head.request_id or f"{self.connection_id}-{self.number}"

    @property
    def response_started(self) -> bool:
        """The same: the answer is written as a whole."""
        return self.response_complete

    @property
    def message_event(self) -> "Exchange":
        """What a connection sets so that a reader of the body wakes up; nobody reads here."""
        return self

    def set(self) -> None:
        """See `message_event`."""

    def answer(self, status: HTTPStatus, fields: bytes, body: bytes) -> None:
        """Write the answer; nothing where the client is gone.

        Args:
            status: of the answer.
            fields: header lines, each ended by CRLF, without those of length and connection.
            body: all of it.
        """
        if self.disconnected or self.response_complete:
            return
        self.response_complete = True
        head, size = self.head, len(body)
        if head.request_id is None:
            more = fields, head.id_line, self.number, size
            fields = b"%b%b%d\r\ncontent-length: %d\r\n" % more
        else:
            fields = b"%b%bcontent-length: %d\r\n" % (fields, head.id_line, size)
        connection = self._connection
        if self.watched is None and (connection.access_log or TRACES.recorder is not None):
            self._watch()
        connection.write_answer(_STATUS_LINES[status], fields, body, self.keep_alive)
        if self.watched is not None:
            self.watched.answering(status)
            self.watched.sent_bytes = size
            self.watched.ended()

    def run(self, answering: Coroutine[Any, Any, None]) -> None:
        """Run what will call `answer`. Its failure is answered with 500 and logged."""
        connection = self._connection
        if connection.access_log or TRACES.recorder is not None:
            self._watch()
        connection.run(self._guarded(answering), self)

    def _watch(self) -> None:
        # Not before somebody is sure to answer: what is declined is watched as another request.
        head = self.head
        self.watched = watched(
            head.peer,
            self.request_id,
            "POST",
            head.target,
            head.fields,
            access_log=self._connection.access_log,
        )

    async def _guarded(self, answering: Coroutine[Any, Any, None]) -> None:
        if self.watched is not None:
            self.watched.enter()
        try:
            await answering
        except asyncio.CancelledError:
            self._fail()
            raise
        except Exception:
            _logger.exception("answering a request failed")
            self._fail()

    def _fail(self) -> None:
        self.keep_alive = False
        self.answer(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            b"content-type: text/plain; charset=utf-8\r\n",
            b"Internal Server Error",
        )
