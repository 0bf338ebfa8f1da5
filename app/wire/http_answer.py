"""The answer to one request, where uvicorn's own is not enough."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.telemetry.log_context import WORKING
from app.wire.watched import WatchedRequest

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGISendEvent

__all__ = ["Answer", "CarefulAnswer", "LastWord", "WatchedAnswer"]


class LastWord:
    """The transport as an answer sees it: closing it leaves the peer time to read.

    Args:
        transport: of the connection.
        hang_up: called instead of its `close`.
    """

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, hang_up: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = hang_up


class Answer(RequestResponseCycle):
    """The answer to an HTTP request: uvicorn's, with the ids that it has in the log."""

    watched: WatchedRequest | None = None
    """What the access log and traces have of it; None: nobody wants to know."""
    connection_id = request_id = ""

    def known_as(
        self, connection_id: str, request_id: str, watched_request: WatchedRequest | None
    ) -> None:
        """Name the request. Call it once, before anything else.

        Args:
            connection_id: of its connection.
            request_id: of itself.
            watched_request: for the access log and traces; None: for neither.
        """
        self.connection_id = connection_id
        self.request_id = request_id
        self.watched = watched_request

    async def run_asgi(self, app: "ASGI3Application") -> None:
        """Call the application, in a task of its own."""
        task = asyncio.current_task()
        assert task is not None
        WORKING[task] = self
        if self.watched is not None:
            self.watched.enter()
        try:
            await super().run_asgi(app)
        finally:
            del WORKING[task]


class CarefulAnswer(Answer):
    """The answer to an HTTP/1.0 request, or to one that waits for a 100 before its content."""

    _ends_with_connection = False

    async def send(self, message: "ASGISendEvent") -> None:
        """Send a part of the answer, as ASGI calls it."""
        if message["type"] == "http.response.start" and not self.response_started:
            if self.waiting_for_100_continue:
                # RFC 9110, 10.1.1: "A server that responds with a final status code instead of
                # reading the entire request content SHOULD indicate whether it intends to
                # close the connection". Whether the content still comes, nobody knows.
                self.keep_alive = False
            names = {name.lower() for name, _ in message.get("headers", ())}
            if self.scope["http_version"] == "1.0" and b"content-length" not in names:
                # RFC 9112, 6.1: "A server MUST NOT send a response containing
                # Transfer-Encoding unless the corresponding request indicates HTTP/1.1".
                self.chunked_encoding = False
                self._ends_with_connection = True
        elif message["type"] == "http.response.body" and self._ends_with_connection:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class WatchedAnswer(CarefulAnswer):
    """An answer that the access log or a trace tells of."""

    async def send(self, message: "ASGISendEvent") -> None:
        """Send a part of the answer, as ASGI calls it."""
        await super().send(message)
        if self.watched is None:
            return
        if message["type"] == "http.response.start":
            self.watched.answering(message["status"])
        elif message["type"] == "http.response.body":
            self.watched.sent_bytes += len(message.get("body", b""))
        if self.response_complete:
            self.watched.ended()
