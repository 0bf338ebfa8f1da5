"""An upgrade request that waits for its answer: the border between a socket and an endpoint.

An endpoint looks at the scope (path, headers, subprotocols) and gives one answer; then its call
returns. Those that an application offers by `ENDPOINTS` are called as they are; the others are
ASGI applications, found by a router like any other, and answer by `Upgrade.of(scope)`. Of ASGI's
own events for WebSockets only the router's word for an unknown path is understood: what is said
on a socket is a `Session`'s business.
"""

import asyncio
from http import HTTPStatus
from typing import Final, Protocol, Self

from starlette.types import ASGIApp, Message, Scope

from app.masking import masked
from app.wire.close_codes import CloseCode
from app.wire.handshake import Handshake, HeaderPairs
from app.wire.session import Session

__all__ = ["ENDPOINTS", "SOCKET", "Connection", "SocketEndpoint", "Upgrade"]

SOCKET: Final = "widgetwire.socket"
"""The key in `scope["extensions"]` under which an `Upgrade` is found."""

ENDPOINTS: Final = "widgetwire.socket_endpoints"
"""The key in the lifespan's state of what finds the `SocketEndpoint` of a path; None: there is
none, and the application is called, for which a task has to be made."""

_FAREWELL_BYTES: Final = 64 * 1024


class Connection(Protocol):
    """What the answer needs of its connection. Nothing happens when the peer is gone."""

    def open(self, response: bytes, max_outbound_bytes: int, session: Session | None) -> None:
        """Send the answer, and drive the session from now on."""

    def refuse(self, response: bytes) -> None:
        """Send the answer and hang up; nothing if there was one before."""

    def send(self, frame: bytes) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class SocketEndpoint(Protocol):
    """Whoever answers the upgrade requests to a path."""

    def answer(self, upgrade: "Upgrade", scope: Scope) -> None:
        """Accept, close or deny; nothing is waited for.

        Args:
            upgrade: not answered yet.
            scope: as of an ASGI call.
        """


class Upgrade:
    """One upgrade request, and the three answers to it: accept, close, deny.

    Args:
        connection: of the request.
        handshake: valid and not yet answered.
        default_headers: the server's own, for every answer.
    """

    __slots__ = ("_answered", "_connection", "_default_headers", "_handshake")

    def __init__(
        self, connection: Connection, handshake: Handshake, default_headers: HeaderPairs
    ) -> None:
        self._connection = connection
        self._handshake = handshake
        self._default_headers = default_headers
        self._answered = False

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Return that of an ASGI call.

        Raises:
            KeyError: the call is not one for a socket of `WebSocketProtocol`.
        """
        found = scope["extensions"][SOCKET]
        assert isinstance(found, cls)
        return found

    def accept(self, session: Session, *, subprotocol: str | None, max_outbound_bytes: int) -> None:
        """Accept the handshake and let the connection drive `session`; no task stays for it.

        Args:
            session: opened at once, lost when the connection ends. Neither happens when the
                peer is gone already.
            subprotocol: one of those the client offered, or none.
            max_outbound_bytes: what may wait for a peer that reads slowly; more closes the
                connection with 1013.

        Raises:
            RuntimeError: the request has been answered already.
        """
        self._answer()
        answer = self._handshake.accept(subprotocol, self._default_headers)
        self._connection.open(answer, max_outbound_bytes, session)

    def close(self, code: int, reason: str, *, frame: bytes | None = None) -> None:
        """Accept the handshake only to say why there is no conversation.

        A browser shows a page no answer to a handshake, but a close code.

        Args:
            code: a `CloseCode`.
            reason: at most 123 bytes; longer is cut.
            frame: one text message before the goodbye, at most 64 KiB.

        Raises:
            RuntimeError: the request has been answered already.
        """
        self._answer()
        answer = self._handshake.accept(None, self._default_headers)
        self._connection.open(answer, _FAREWELL_BYTES, None)
        if frame is not None:
            self._connection.send(frame)
        self._connection.close(code, reason)

    def deny(self, status: HTTPStatus, text: str = "") -> None:
        """Answer with an HTTP response instead of a socket.

        Args:
            status: 400 or more.
            text: the body.

        Raises:
            RuntimeError: the request has been answered already.
        """
        self._answer()
        self._refuse(status, text)

    # Called by the connection.

    def ask_endpoint(self, endpoint: SocketEndpoint, scope: Scope) -> None:
        """Call an endpoint; where it fails, or gives no answer, the answer is a 500."""
        try:
            endpoint.answer(self, scope)
            self._check_answered()
        except Exception as error:
            self._fail(error)

    async def ask(self, app: ASGIApp, scope: Scope) -> None:
        """Call the application; where it fails, or gives no answer, the answer is a 500."""
        try:
            await app(scope, _receive, self._send)
            self._check_answered()
        except Exception as error:
            self._fail(error)
        except asyncio.CancelledError:
            self.going_away()
            raise

    def going_away(self) -> None:
        """Refuse: the process ends, and the application has not answered yet."""
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "")

    async def _send(self, message: Message) -> None:
        # https://asgi.readthedocs.io/en/latest/specs/www.html#close-send-event: "If this is
        # sent before the socket is accepted, the server must close the connection with a HTTP
        # 403 error code (Forbidden)". Starlette's router says it of an unknown path.
        if message["type"] != "websocket.close":
            raise RuntimeError(f"{message['type']} is not understood: answer by Upgrade.of(scope)")
        self.deny(HTTPStatus.FORBIDDEN)

    def _check_answered(self) -> None:
        if not self._answered:
            raise RuntimeError("the application has not answered an upgrade request")

    def _fail(self, error: Exception) -> None:
        text = masked(error, "answering a handshake")
        self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, text)
        # If it is open: nobody knows in what state the session is.
        self._connection.close(CloseCode.INTERNAL_ERROR, text)

    def _answer(self) -> None:
        if self._answered:
            raise RuntimeError("an upgrade request can be answered only once")
        self._answered = True

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        headers = [*self._default_headers]
        if text:
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
        self._connection.refuse(self._handshake.deny(status, headers, text.encode()))


async def _receive() -> Message:
    raise RuntimeError("a socket has no events to receive: answer by Upgrade.of(scope)")
