"""The answer to one request, where uvicorn's own is not enough."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

__all__ = ["CarefulAnswer", "LastWord"]


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


class CarefulAnswer(RequestResponseCycle):
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
