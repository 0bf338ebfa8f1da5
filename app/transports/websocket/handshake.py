"""The opening handshake (RFC 6455, section 4), as the `websockets` library validates it."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

__all__ = ["Handshake", "HeaderPairs"]

HeaderPairs = Iterable[tuple[bytes, bytes]]
"""Headers as ASGI gives them."""

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Handshake:
    """One upgrade request and the answer to it.

    No extension is ever agreed to. permessage-deflate would keep two windows for each
    connection (some 100 kB as usually set), and compress a message once for each of its
    receivers, since each has its own window; a fan-out is encoded once.

    Args:
        head: the request's head, whole.
    """

    __slots__ = ("_protocol", "_response", "refusal", "request")

    def __init__(self, head: bytes) -> None:
        self._protocol = ServerProtocol()
        self._protocol.receive_data(head)
        events = self._protocol.events_received()
        self.request: Request | None = None
        self.refusal: bytes | None = None
        """What to answer when this is no valid upgrade request; the end of it."""
        if not events or not isinstance(events[0], Request):
            self.refusal = _BAD_REQUEST
            return
        self.request = events[0]
        self._response = self._protocol.accept(self.request)
        if self._response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self.refusal = self._sent(self._response)

    @property
    def subprotocols(self) -> list[str]:
        """What the client offers, its favourite first."""
        assert self.request is not None
        return [
            token.strip()
            for header in self.request.headers.get_all("Sec-WebSocket-Protocol")
            for token in header.split(",")
        ]

    def accept(self, subprotocol: str | None, headers: HeaderPairs) -> bytes:
        """Return the answer that opens the connection."""
        response = self._response
        del response.headers["Date"]
        for name, value in headers:
            response.headers[name.decode("latin-1")] = value.decode("latin-1")
        if subprotocol is not None:
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
        return self._sent(response)

    def deny(self, status: int, headers: HeaderPairs, body: bytes) -> bytes:
        """Return an ordinary HTTP response, after which the connection is to be closed."""
        answer = Headers(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in headers
            if name.lower() not in (b"connection", b"content-length")
        )
        answer["Connection"] = "close"
        answer["Content-Length"] = str(len(body))
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        return self._sent(Response(status, phrase, answer, body))

    def _sent(self, response: Response) -> bytes:
        self._protocol.send_response(response)
        return b"".join(self._protocol.data_to_send())
