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
    """

    __slots__ = ("fields", "judged", "peer", "target")

    def __init__(
        self, target: bytes, fields: list[tuple[bytes, bytes]], peer: Peer = UNKNOWN_PEER
    ) -> None:
        self.target = target
        self.fields = fields
        self.peer = peer
        self.judged: object = None


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

    def run(self, answering: Coroutine[Any, Any, None]) -> None:
        """Run what answers a request; the server waits for it when it ends."""


class Exchange:
    """One POST that has come whole.

    It stands where uvicorn's `RequestResponseCycle` stands for others, and has as much of its
    face as a connection looks at.

    Args:
        connection: of the request.
        head: see there.
        body: all of it.
        keep_alive: whether the client wants to go on with the connection.
    """

    __slots__ = (
        "_connection",
        "body",
        "disconnected",
        "head",
        "keep_alive",
        "response_complete",
    )

    def __init__(
        self, connection: AnswerWriter, head: RequestHead, body: bytes, keep_alive: bool
    ) -> None:
        self._connection = connection
        self.head = head
        self.body = body
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False

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
        fields = b"%bcontent-length: %d\r\n" % (fields, len(body))
        self._connection.write_answer(_STATUS_LINES[status], fields, body, self.keep_alive)

    def run(self, answering: Coroutine[Any, Any, None]) -> None:
        """Run what will call `answer`. Its failure is answered with 500 and logged."""
        self._connection.run(self._guarded(answering))

    async def _guarded(self, answering: Coroutine[Any, Any, None]) -> None:
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
