"""The ASGI call of one WebSocket: what the application receives and sends.

https://asgi.readthedocs.io/en/latest/specs/www.html#websocket
"""

import asyncio
from collections import deque
from enum import Enum, auto
from http import HTTPStatus
from typing import Final, Protocol

from starlette.types import Message
from uvicorn.protocols.utils import ClientDisconnected

from app.transports.close_codes import CloseCode
from app.transports.websocket.frames import Opcode, frame
from app.transports.websocket.handshake import Handshake, HeaderPairs

__all__ = ["AsgiCall", "Connection"]

_MOST_UNRECEIVED: Final = 16
"""Messages that may wait for the application before reading stops."""

_MAX_OUTBOUND_BYTES: Final = 2**62
# `send` waits for the transport, so that nothing is queued here.


class Connection(Protocol):
    """What the call needs of its connection."""

    def open(self, response: bytes, max_outbound_bytes: int) -> bool:
        """Send the answer and be open; False if the peer is gone."""

    def refuse(self, response: bytes) -> None:
        """Send the answer and hang up."""

    def send_framed(self, framed: bytes) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def accept_peer(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    async def drained(self) -> None: ...


class _Stage(Enum):
    HANDSHAKE = auto()
    DENYING = auto()
    OPEN = auto()
    ENDED = auto()
    """Closed by either side, denied, or attached: the call has no more to say."""


class AsgiCall:
    """`receive` and `send` of one call.

    Args:
        connection: of the call.
        handshake: valid and not yet answered.
        default_headers: the server's own, for every answer.
    """

    def __init__(
        self, connection: Connection, handshake: Handshake, default_headers: HeaderPairs
    ) -> None:
        self._connection = connection
        self._handshake = handshake
        self._default_headers = list(default_headers)
        self._stage = _Stage.HANDSHAKE
        self._events: deque[Message] = deque([{"type": "websocket.connect"}])
        self._disconnect: Message | None = None
        self._arrived = asyncio.Event()
        self._arrived.set()
        self._denial_status = 0
        self._denial_headers: list[tuple[bytes, bytes]] = []
        self._denial_body: list[bytes] = []

    # Called by the connection.

    def message(self, opcode: Opcode, payload: bytes) -> None:
        """Take a whole message from the peer."""
        if opcode is Opcode.TEXT:
            self._events.append({"type": "websocket.receive", "text": payload.decode()})
        else:
            self._events.append({"type": "websocket.receive", "bytes": payload})
        self._arrived.set()
        if len(self._events) >= _MOST_UNRECEIVED:
            self._connection.pause_reading()

    def disconnected(self, code: int, reason: str) -> None:
        """Take note that nothing more comes or goes. Idempotent."""
        if self._disconnect is None:
            self._stage = _Stage.ENDED
            self._disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._arrived.set()

    def finished(self, *, failed: bool) -> None:
        """End what the application left undone when its call returned or raised."""
        if self._stage is _Stage.HANDSHAKE or self._stage is _Stage.DENYING:
            self._deny(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"")
        elif self._stage is _Stage.OPEN:
            self._stage = _Stage.ENDED
            if failed:
                self._connection.close(CloseCode.INTERNAL_ERROR, "internal error")
            else:
                self._connection.close(CloseCode.NORMAL, "")

    def going_away(self) -> None:
        """Refuse a handshake that the application has not answered yet."""
        if self._stage is _Stage.HANDSHAKE:
            self._deny(HTTPStatus.SERVICE_UNAVAILABLE, [], b"")

    def attached(self, subprotocol: str | None, max_outbound_bytes: int) -> bool:
        """Open the connection for a session; the call has no more to say.

        Raises:
            RuntimeError: the handshake has been answered already.
        """
        if self._disconnect is not None:
            return False
        if self._stage is not _Stage.HANDSHAKE:
            raise RuntimeError("a session can be attached only before the handshake is answered")
        self._stage = _Stage.ENDED
        answer = self._handshake.accept(subprotocol, self._default_headers)
        return self._connection.open(answer, max_outbound_bytes)

    # Called by the application.

    async def receive(self) -> Message:
        while not self._events:
            if self._disconnect is not None:
                return self._disconnect
            self._arrived.clear()
            await self._arrived.wait()
        event = self._events.popleft()
        if len(self._events) == _MOST_UNRECEIVED // 2:
            self._connection.resume_reading()
        return event

    async def send(self, message: Message) -> None:
        if self._disconnect is not None:
            raise ClientDisconnected
        kind = message["type"]
        if self._stage is _Stage.OPEN and kind == "websocket.send":
            text = message.get("text")
            if text is not None:
                framed = frame(Opcode.TEXT, text.encode())
            else:
                framed = frame(Opcode.BINARY, message["bytes"])
            self._connection.send_framed(framed)
            await self._connection.drained()
        elif self._stage is _Stage.OPEN and kind == "websocket.close":
            self._stage = _Stage.ENDED
            self._connection.close(message.get("code", 1000), message.get("reason") or "")
        elif self._stage is _Stage.HANDSHAKE and kind == "websocket.accept":
            self._stage = _Stage.OPEN
            headers = [*self._default_headers, *message.get("headers", ())]
            answer = self._handshake.accept(message.get("subprotocol"), headers)
            self._connection.open(answer, _MAX_OUTBOUND_BYTES)
            # What else the peer has to show, only the application knows.
            self._connection.accept_peer()
        elif self._stage is _Stage.HANDSHAKE and kind == "websocket.close":
            self._deny(HTTPStatus.FORBIDDEN, [], b"")
        elif self._stage is _Stage.HANDSHAKE and kind == "websocket.http.response.start":
            self._stage = _Stage.DENYING
            self._denial_status = message["status"]
            self._denial_headers = list(message.get("headers", ()))
        elif self._stage is _Stage.DENYING and kind == "websocket.http.response.body":
            self._denial_body.append(message.get("body", b""))
            if not message.get("more_body", False):
                body = b"".join(self._denial_body)
                self._deny(self._denial_status, self._denial_headers, body)
        else:
            raise RuntimeError(f"{kind} cannot be sent now ({self._stage.name.lower()})")

    def _deny(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        answer = self._handshake.deny(status, [*self._default_headers, *headers], body)
        self._connection.refuse(answer)
        self.disconnected(1006, "")
