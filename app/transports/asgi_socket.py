"""A session over any ASGI server, or handed to our own WebSocket protocol class.

Plain ASGI costs two tasks a connection and one `send` a frame. Where the server offers
the extension `DIRECT` (see `app.transports.websocket`), the session is attached to the
connection itself and the ASGI call returns, so that an idle connection costs no task.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from app.transports.close_codes import CloseCode
from app.transports.socket import MAX_UNACCEPTED_BYTES, Session

__all__ = ["CLOSE_TIMEOUT_SECONDS", "DIRECT", "Direct", "run_session"]

DIRECT: Final = "widgetwire.direct"
"""The key in `scope["extensions"]` under which a `Direct` is offered."""

CLOSE_TIMEOUT_SECONDS: Final = 5.0
"""How long a peer may take to read what waits for it and to answer our close frame."""

_MAX_REASON_BYTES: Final = 123
# RFC 6455, 5.5: "All control frames MUST have a payload length of 125 bytes or less";
# two of them are the code.


_TOO_BIG: Final = f"at most {MAX_UNACCEPTED_BYTES} bytes are allowed before the acknowledgement"


class Direct(Protocol):
    """A connection that drives a session without the ASGI call."""

    def attach(self, session: Session, *, subprotocol: str | None, max_outbound_bytes: int) -> None:
        """Accept the handshake and drive `session` from now on; called at most once.

        Args:
            session: opened at once, lost when the connection ends. Neither happens when
                the peer is gone already.
            subprotocol: one of those the client offered, or none.
            max_outbound_bytes: what may wait for a peer that reads slowly; more closes
                the connection with 1013.
        """


async def run_session(
    websocket: WebSocket,
    session: Session,
    *,
    subprotocol: str | None,
    max_outbound_bytes: int,
) -> None:
    """Accept the handshake and drive `session` until the connection ends.

    With the extension `DIRECT` this returns at once and the connection lives on.
    A cancelled call shuts the session down, sends what it still has to say within
    `CLOSE_TIMEOUT_SECONDS`, and ends as cancelled.

    Args:
        websocket: not yet accepted.
        session: opened after the handshake and lost exactly once; a peer that is gone
            before the handshake is done causes neither.
        subprotocol: one of those the client offered, or none.
        max_outbound_bytes: what may wait for a peer that reads slowly; more closes the
            connection with 1013.
    """
    direct: Direct | None = (websocket.scope.get("extensions") or {}).get(DIRECT)
    if direct is not None:
        direct.attach(session, subprotocol=subprotocol, max_outbound_bytes=max_outbound_bytes)
        return
    try:
        await websocket.accept(subprotocol)
    except (OSError, RuntimeError, WebSocketDisconnect):
        # Gone before the handshake was done: Starlette and servers differ in the error.
        return
    await _AsgiSocket(websocket, session, max_outbound_bytes).run()


class _AsgiSocket:
    """An `Outlet` with one writer task; the caller's own task reads."""

    def __init__(self, websocket: WebSocket, session: Session, max_outbound_bytes: int) -> None:
        self._websocket = websocket
        self._session = session
        self._max_outbound_bytes = max_outbound_bytes
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._something_to_write = asyncio.Event()
        self._all_written = asyncio.Event()
        self._all_written.set()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._close: tuple[int, str] | None = None
        self._accepted = False
        # While reading; without an end until the connection is being closed.
        self._deadline: asyncio.Timeout | None = None

    # The Outlet.

    def send(self, frame: bytes) -> None:
        if self._close is not None:
            return
        self._waiting_bytes += len(frame)
        if self._waiting_bytes > self._max_outbound_bytes:
            # What waits is given up: the peer resumes after the last it received.
            self._frames.clear()
            self._waiting_bytes = 0
            self.close(CloseCode.TRY_AGAIN_LATER, "reading too slowly")
            return
        self._frames.append(frame)
        self._something_to_write.set()
        self._all_written.clear()

    def close(self, code: int, reason: str) -> None:
        if self._close is not None:
            return
        self._close = (code, _cut(reason))
        self._something_to_write.set()
        self._may_read.set()
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + CLOSE_TIMEOUT_SECONDS)

    def accept_peer(self) -> None:
        self._accepted = True

    def pause_reading(self) -> None:
        if self._close is None:
            self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    async def drained(self) -> None:
        await self._all_written.wait()

    # What drives the session.

    async def run(self) -> None:
        writer: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(None) as deadline:
                self._deadline = deadline
                writer = asyncio.create_task(self._write())
                try:
                    self._session.opened(self)
                    await self._read()
                finally:
                    self._deadline = None
        except TimeoutError:
            pass  # The peer did not answer our close frame in time.
        except asyncio.CancelledError:
            self._session.shutdown()
            self.close(CloseCode.SERVICE_RESTART, "restarting")
            if writer is not None:
                await asyncio.wait({writer}, timeout=CLOSE_TIMEOUT_SECONDS)
            raise
        finally:
            self._close = self._close or (CloseCode.NORMAL, "")
            self._frames.clear()
            self._all_written.set()
            if writer is not None:
                writer.cancel()
            self._session.lost()

    async def _read(self) -> None:
        while True:
            await self._may_read.wait()
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                return
            if self._close is not None:
                continue  # Said goodbye: only the peer's answer matters now.
            text = event.get("text")
            if text is not None:
                if not self._accepted and len(text.encode()) > MAX_UNACCEPTED_BYTES:
                    # The server has taken it, within its own bound; the session does not.
                    self.close(CloseCode.MESSAGE_TOO_BIG, _TOO_BIG)
                else:
                    self._session.received(text)
            else:
                self._session.received_binary()

    async def _write(self) -> None:
        try:
            while True:
                while self._frames:
                    frame = self._frames.popleft()
                    await self._websocket.send({"type": "websocket.send", "text": frame.decode()})
                    # Counted until the server took it, so that the bound covers it too;
                    # an overflow meanwhile has given up the count.
                    self._waiting_bytes = max(0, self._waiting_bytes - len(frame))
                self._all_written.set()
                if self._close is not None:
                    code, reason = self._close
                    await self._websocket.close(code, reason)
                    return
                self._something_to_write.clear()
                await self._something_to_write.wait()
        except (OSError, RuntimeError, WebSocketDisconnect):
            # The connection is gone. The reader is told so by the server; should it not
            # be, the deadline ends it.
            self.close(CloseCode.GOING_AWAY, "")


def _cut(reason: str) -> str:
    return reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
