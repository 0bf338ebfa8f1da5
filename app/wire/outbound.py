"""The sending half of a connection: frames joined into as few writes as can be.

A frame waits for the end of the current turn of the loop, never for a timer, so that
what comes in the same turn goes out in the same write; a write is what a delivery costs.
While the transport is busy, frames wait here, up to a bound.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from app.telemetry.counters import COUNTED
from app.wire.frames import pong_frame, text_frame

__all__ = ["CLOSE_TIMEOUT_SECONDS", "FrameWriter", "Turn"]

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_SECONDS: Final = 5.0
"""How long a peer may take to read what waits for it and to answer our close frame."""

_WRITES_PER_TURN: Final = 512
"""A few milliseconds: one great fan-out must not keep everybody else waiting."""

_WRITE_AT_BYTES: Final = 1 << 16
"""What one connection gathers before it is written without waiting for the turn's end."""


class Turn:
    """The connections of a server that have something to write in this turn of the loop."""

    __slots__ = ("_loop", "_scheduled", "_thens", "_writers", "blocked", "last_framed", "last_text")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._scheduled = False
        self._writers: list[FrameWriter] = []
        self._thens: list[Callable[[], None]] = []
        self.blocked: set[FrameWriter] = set()
        """Those whose peers take nothing now."""
        # The text framed last: a fan-out gives the same object to one after another.
        self.last_text = b""
        self.last_framed = text_frame(b"")

    def add(self, writer: "FrameWriter") -> None:
        """Write what `writer` has at the end of the turn."""
        self._writers.append(writer)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._write)

    def then(self, call: Callable[[], None]) -> None:
        """Call once nothing waits any more; at once where nothing does.

        Args:
            call: must not raise.
        """
        if self._scheduled:
            self._thens.append(call)
        else:
            call()

    def _write(self) -> None:
        writers = self._writers
        if len(writers) > _WRITES_PER_TURN:
            self._writers = writers[_WRITES_PER_TURN:]
            del writers[_WRITES_PER_TURN:]
            self._loop.call_soon(self._write)
        else:
            self._writers = []
            self._scheduled = False
        for writer in writers:
            writer.write_waiting()
        if self._thens and not self._scheduled:
            thens, self._thens = self._thens, []
            for call in thens:
                call()


class FrameWriter(asyncio.Protocol):
    """Writes frames to a transport. The half of a protocol class that knows no input.

    Args:
        turn: shared by the connections of one server.
    """

    __slots__ = (
        "_blocked",
        "_drain_waiters",
        "_frames",
        "_in_transport_bytes",
        "_late_pong",
        "_max_outbound_bytes",
        "_muted",
        "_transport",
        "_turn",
        "_waiting_bytes",
        "sent_bytes",
        "sent_frames",
    )

    _transport: asyncio.Transport

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._frames: list[bytes] = []
        self._waiting_bytes = 0
        self.sent_frames = self.sent_bytes = 0
        self._max_outbound_bytes = 0
        # What the transport held when it became busy; it holds no more until it is not.
        self._in_transport_bytes = 0
        self._blocked = False
        # Nothing more is taken: the close frame is the last.
        self._muted = True
        self._late_pong: bytes | None = None
        self._drain_waiters: list[asyncio.Future[None]] | None = None

    def write_through(self, transport: asyncio.Transport, max_outbound_bytes: int) -> None:
        """Begin to take frames."""
        self._transport = transport
        self._max_outbound_bytes = max_outbound_bytes
        self._muted = False
        # Told of the first byte that the peer's window does not take: from then on
        # frames are joined here, where they are counted.
        transport.set_write_buffer_limits(high=0)

    def send(self, frame: bytes) -> None:
        """Send a text message, UTF-8; see `Outlet.send`."""
        turn = self._turn
        if frame is turn.last_text:
            framed = turn.last_framed
        else:
            framed = text_frame(frame)
            turn.last_text = frame
            turn.last_framed = framed
        self.send_framed(framed)

    def send_framed(self, framed: bytes) -> None:
        """Send one frame as it is; dropped once the connection is closing."""
        if self._muted:
            return
        frames = self._frames
        frames.append(framed)
        self._waiting_bytes += len(framed)
        if self._blocked:
            if self._waiting_bytes + self._in_transport_bytes > self._max_outbound_bytes:
                self.fell_behind()
        elif len(frames) == 1:
            self._turn.add(self)
        elif self._waiting_bytes >= _WRITE_AT_BYTES:
            self.write_waiting()

    def send_pong(self, payload: bytes) -> None:
        """Answer a ping; a peer that does not read gets an answer to its last one only.

        RFC 6455, 5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong
        frame(s) in response to previous Ping frame(s), the endpoint MAY elect to send a
        Pong frame for only the most recently processed Ping frame." So a flood of pings
        with unread pongs holds 125 bytes.
        """
        if self._blocked:
            self._late_pong = payload
        else:
            self.send_framed(pong_frame(payload))

    def send_last(self, framed: bytes, *, instead: bool = False) -> None:
        """Send one frame and take no more.

        Args:
            framed: a close frame.
            instead: give up what waits.
        """
        if self._muted:
            return
        self._muted = True
        if instead:
            self._frames.clear()
            self._waiting_bytes = 0
        self._late_pong = None
        self._frames.append(framed)
        self._waiting_bytes += len(framed)
        self.write_waiting()

    def fell_behind(self) -> None:
        """Deal with a peer that let more wait than the bound."""
        raise NotImplementedError

    def write_waiting(self) -> None:
        """Write what waits, unless the transport is busy or gone. Does not raise."""
        frames = self._frames
        if self._blocked or not frames:
            return
        count, size = len(frames), self._waiting_bytes
        data = frames[0] if count == 1 else b"".join(frames)
        frames.clear()
        self._waiting_bytes = 0
        # Here and not for each frame: a delivery is a frame, and this is once for many.
        self.sent_frames += count
        self.sent_bytes += size
        counted = COUNTED
        counted.frames_out += count
        counted.bytes_out += size
        try:
            self._transport.write(data)
        except Exception:
            # The others of this turn go on. What was lost here the client asks for again.
            logger.exception("failed to write to a connection; it is closed")
            self._transport.abort()
            self.end_writing()

    @property
    def unsent_bytes(self) -> int:
        """What waits here and in the transport while the peer takes nothing."""
        return self._waiting_bytes + self._in_transport_bytes

    async def drained(self) -> None:
        """Wait until the transport is not busy and nothing waits, or the end."""
        if not self._blocked:
            return
        waiter = asyncio.get_running_loop().create_future()
        if self._drain_waiters is None:
            self._drain_waiters = []
        self._drain_waiters.append(waiter)
        await waiter

    # Called by the transport.

    def pause_writing(self) -> None:
        self._blocked = True
        self._turn.blocked.add(self)
        self._in_transport_bytes = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        self._blocked = False
        self._turn.blocked.discard(self)
        self._in_transport_bytes = 0
        if self._late_pong is not None and not self._muted:
            self._frames.append(pong_frame(self._late_pong))
            self._late_pong = None
        self.write_waiting()
        if not self._blocked:
            self._wake_drained()

    def end_writing(self) -> None:
        """Forget what waits: the transport is gone."""
        self._muted = True
        self._blocked = False
        self._turn.blocked.discard(self)
        self._frames.clear()
        self._late_pong = None
        self._wake_drained()

    def _wake_drained(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
