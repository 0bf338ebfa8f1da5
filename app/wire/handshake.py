"""The opening handshake (RFC 6455, section 4).

What plainly is a valid one is told here; all else is judged, and refused, by the `websockets`
library, whose objects for a whole connection cost more than everything else of a handshake.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha1
from http import HTTPStatus
from typing import Final

from starlette.types import Scope
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidHeader
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

__all__ = ["Handshake", "HeaderPairs"]

HeaderPairs = Iterable[tuple[bytes, bytes]]
"""Headers as ASGI gives them."""

_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n%b\r\n"
)


_JUDGED: Final = frozenset(
    {
        b"connection",
        b"upgrade",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
    }
)
_UPGRADING: Final = frozenset({b"upgrade", b"keep-alive, upgrade"})
_KEY: Final = re.compile(
    # 4.1: "a nonce consisting of a randomly selected 16-byte value that has been
    # base64-encoded".
    rb"[A-Za-z0-9+/]{22}=="
)
_PROTOCOLS: Final = re.compile(
    # 11.3.4: 1#token. RFC 9110, 5.6.2: the characters of a token.
    rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+(?:[ \t]*,[ \t]*[-!#$%&'*+.^_`|~0-9a-zA-Z]+)*"
)
_VERSION: Final = "Sec-WebSocket-Version"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handshake:
    """One upgrade request and the answer to it.

    No extension is ever agreed to. permessage-deflate would keep two windows for each
    connection (some 100 kB as usually set), and compress a message once for each of its
    receivers, since each has its own window; a fan-out is encoded once.

    Args:
        scope: of the request as HTTP; its method, version and headers are looked at.
    """

    __slots__ = ("_accept", "_protocols", "refusal")

    def __init__(self, scope: Scope) -> None:
        self.refusal: bytes | None = None
        """What to answer when this is no valid upgrade request; the end of it."""
        judged: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            if name in _JUDGED:
                judged.setdefault(name, []).append(value)
        self._protocols = judged.get(b"sec-websocket-protocol", [])
        key = _plain_key(scope, judged)
        if key is None:
            self._accept = self._judge(scope)
        else:
            # 4.2.2: "concatenating [it] with the string "258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
            # taking the SHA-1 hash of this concatenated value to obtain a 20-byte value and
            # base64-encoding".
            self._accept = b64encode(sha1(key + _GUID, usedforsecurity=False).digest())

    def _judge(self, scope: Scope) -> bytes:
        headers = Headers(
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        )
        request = Request("/", headers, scope["method"], f"HTTP/{scope['http_version']}")
        validator = ServerProtocol()
        try:
            return validator.process_request(request)[0].encode()
        except InvalidHandshake as error:
            refusal = validator.accept(request)
            if isinstance(error, InvalidHeader) and error.name == _VERSION:
                # 4.2.2: "abort the WebSocket handshake [...] and instead send an appropriate HTTP
                # error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header
                # field indicating the version(s) the server is capable of understanding".
                status = HTTPStatus.UPGRADE_REQUIRED
                refusal.headers["Upgrade"] = "websocket"
                refusal.headers[_VERSION] = "13"
                refusal = Response(status, status.phrase, refusal.headers, refusal.body)
            self.refusal = refusal.serialize()
            return b""

    @property
    def subprotocols(self) -> list[str]:
        """What the client offers, its favourite first."""
        return [
            token.strip()
            for value in self._protocols
            for token in value.decode("latin-1").split(",")
        ]

    def accept(self, subprotocol: str | None, headers: HeaderPairs) -> bytes:
        """Return the answer that opens the connection."""
        pairs = [*headers]
        if subprotocol is not None:
            pairs.append((b"Sec-WebSocket-Protocol", subprotocol.encode("latin-1")))
        lines = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
        return _SWITCHING % (self._accept, lines)

    def deny(self, status: HTTPStatus, headers: HeaderPairs, body: bytes) -> bytes:
        """Return an ordinary HTTP response, after which the connection is to be closed."""
        answer = Headers(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers
        )
        answer["Connection"] = "close"
        answer["Content-Length"] = str(len(body))
        return Response(status, status.phrase, answer, body).serialize()


def _plain_key(scope: Scope, judged: dict[bytes, list[bytes]]) -> bytes | None:
    """Return the key of a handshake that is valid and of the form of all clients; else None."""
    if scope["method"] != "GET" or scope["http_version"] != "1.1":
        return None
    key = _only(judged.get(b"sec-websocket-key"))
    if (
        _only(judged.get(b"sec-websocket-version")) == b"13"
        and _only(judged.get(b"upgrade")).lower() == b"websocket"
        and _only(judged.get(b"connection")).lower() in _UPGRADING
        and _KEY.fullmatch(key)
        and len(judged.get(b"origin", ())) <= 1
        and all(_PROTOCOLS.fullmatch(one) for one in judged.get(b"sec-websocket-protocol", ()))
    ):
        return key
    return None


def _only(values: Sequence[bytes] | None) -> bytes:
    return values[0] if values is not None and len(values) == 1 else b""
