"""The opening handshake (RFC 6455, section 4), as the `websockets` library validates it."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from starlette.types import Scope
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

__all__ = ["Handshake", "HeaderPairs"]

HeaderPairs = Iterable[tuple[bytes, bytes]]
"""Headers as ASGI gives them."""

_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n%b\r\n"
)


class Handshake:
    """One upgrade request and the answer to it.

    No extension is ever agreed to. permessage-deflate would keep two windows for each
    connection (some 100 kB as usually set), and compress a message once for each of its
    receivers, since each has its own window; a fan-out is encoded once.

    Args:
        scope: of the request as HTTP; its method, version and headers are looked at.
    """

    __slots__ = ("_accept", "_headers", "refusal")

    def __init__(self, scope: Scope) -> None:
        self._headers = Headers(
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        )
        self.refusal: bytes | None = None
        """What to answer when this is no valid upgrade request; the end of it."""
        request = Request("/", self._headers, scope["method"], f"HTTP/{scope['http_version']}")
        validator = ServerProtocol()
        try:
            self._accept, _, _ = validator.process_request(request)
        except InvalidHandshake:
            self.refusal = validator.accept(request).serialize()

    @property
    def subprotocols(self) -> list[str]:
        """What the client offers, its favourite first."""
        return [
            token.strip()
            for header in self._headers.get_all("Sec-WebSocket-Protocol")
            for token in header.split(",")
        ]

    def accept(self, subprotocol: str | None, headers: HeaderPairs) -> bytes:
        """Return the answer that opens the connection."""
        pairs = [*headers]
        if subprotocol is not None:
            pairs.append((b"Sec-WebSocket-Protocol", subprotocol.encode("latin-1")))
        lines = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
        return _SWITCHING % (self._accept.encode(), lines)

    def deny(self, status: HTTPStatus, headers: HeaderPairs, body: bytes) -> bytes:
        """Return an ordinary HTTP response, after which the connection is to be closed."""
        answer = Headers(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers
        )
        answer["Connection"] = "close"
        answer["Content-Length"] = str(len(body))
        return Response(status, status.phrase, answer, body).serialize()
