"""A streamed HTTP response on the connection itself: no task, no queue, no timer of its own.

To the application a stream begins as an ordinary response. The extension `STREAM` in its
scope lets it hand the body over: the call may return, and chunks are written to the
transport, those of one turn of the loop in one write, until either side ends it.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from app.peer import UNKNOWN_PEER, Peer
from app.wire.close_codes import CloseCode
from app.wire.closings import log_closing
from app.wire.outbound import CLOSE_TIMEOUT_SECONDS, FrameWriter, Turn

__all__ = ["STREAM", "StreamWriter", "Streamed", "Streaming", "chunk"]

STREAM: Final = "widgetwire.stream"
"""The key in `scope["extensions"]` under which a `Streaming` is offered."""

_LAST_CHUNK: Final = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return data as one chunk (RFC 9112, 7.1: size in hexadecimal, data, each ended by CRLF)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Streamed(Protocol):
    """Whoever streams. Called on the event loop only; never raises."""

    def beat(self) -> None:
        """Nothing has to be said for a while: say so, if there is a word for it."""

    def fell_behind(self) -> None:
        """The peer let more wait than the bound: end it so that the peer comes back."""

    def shutdown(self) -> None:
        """The process is going away: end it so that the peer comes back. Idempotent."""

    def lost(self) -> None:
        """The end: called exactly once, whoever ended it."""


class Streaming(Protocol):
    """A connection that can stream the rest of a response."""

    def take_place(self) -> bool:
        """Count the stream to come among the connections of its client's address.

        Returns:
            False: there are too many; to be asked before anything is done for the stream.
        """

    def stream(
        self, streamed: Streamed, *, max_outbound_bytes: int, beat_seconds: float
    ) -> "StreamWriter | None":
        """Take over the body of the response that the ASGI call has started.

        The call may return then. The response ends with its connection.

        Args:
            streamed: told of the end, and from time to time to say something.
            max_outbound_bytes: what may wait for a peer that reads slowly.
            beat_seconds: how often `beat` is called; a peer that takes nothing for three
                times as long is given up.

        Returns:
            What to write to; None: the peer is gone, and nobody is told anything.
        """


class StreamWriter(FrameWriter):
    """The body of one response, and the end of its connection.

    Args:
        turn: shared by the connections of one server.
        streamed: see `Streaming.stream`.
        chunked: False for HTTP/1.0, whose body ends with the connection.
        hang_up: closes the connection once everything is written.
        give_up: closes it at once.
        peer: who is at the other end, for the log.
    """

    __slots__ = (
        "_ending",
        "_give_up",
        "_hang_up",
        "_peer",
        "_stalled_beats",
        "_streamed",
        "chunked",
    )

    def __init__(
        self,
        turn: Turn,
        streamed: Streamed,
        *,
        chunked: bool,
        hang_up: Callable[[], None],
        give_up: Callable[[], None],
        peer: Peer = UNKNOWN_PEER,
    ) -> None:
        super().__init__(turn)
        self.chunked = chunked
        self._streamed: Streamed | None = streamed
        self._hang_up = hang_up
        self._give_up = give_up
        self._peer = peer
        self._ending = False
        self._stalled_beats = 0

    def end(self, last: bytes = b"", *, instead: bool = False) -> None:
        """Send a last piece and end the response and its connection. Idempotent.

        Args:
            last: sent as it is but for the chunk around it.
            instead: give up what waits; what was written ends with a whole chunk.
        """
        if self._ending:
            return
        self._ending = True
        if self.chunked:
            last = (chunk(last) if last else b"") + _LAST_CHUNK
        self.send_last(last, instead=instead)
        self._hang_up_when_written()
        if self._blocked:
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_SECONDS, self._give_up)

    def fell_behind(self) -> None:
        log_closing(CloseCode.TRY_AGAIN_LATER, self._peer)
        if self._streamed is not None:
            self._streamed.fell_behind()

    def shutdown(self) -> None:
        """See `Streamed.shutdown`."""
        if self._streamed is not None:
            self._streamed.shutdown()

    def resume_writing(self) -> None:
        self._stalled_beats = 0
        super().resume_writing()
        self._hang_up_when_written()

    def lost(self) -> None:
        """Take note that the connection is gone. Idempotent."""
        self._ending = True
        self.end_writing()
        streamed, self._streamed = self._streamed, None
        if streamed is not None:
            streamed.lost()

    def visit(self, silent_visits_allowed: int) -> None:
        """Beat, or give up a peer that has taken nothing for so many beats; see `Pinged`."""
        if self._streamed is None:
            return
        if not self._blocked:
            self._streamed.beat()
            return
        self._stalled_beats += 1
        if self._stalled_beats > silent_visits_allowed:
            self._give_up()

    def _hang_up_when_written(self) -> None:
        if self._ending and not self._blocked:
            self._hang_up()
