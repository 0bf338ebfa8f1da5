"""The border between a WebSocket and what is said on it.

A `Session` is a conversation: text in, frames out, no socket and no await in its face.
An `Outlet` is the socket as the session sees it. `WebSocketProtocol` is the outlet and drives
the session; neither knows more of the other than is written here.
"""

from typing import Final, Protocol

__all__ = ["MAX_UNACCEPTED_BYTES", "Outlet", "Session"]

MAX_UNACCEPTED_BYTES: Final = 64 * 1024
"""The largest message of a peer that its session has not accepted; longer is 1009."""


class Outlet(Protocol):
    """A socket to write to. Nothing here blocks, and nothing raises once it is closed."""

    def send(self, frame: bytes) -> None:
        """Send one text message, UTF-8.

        Queued while the peer is busy, in order, and joined with its neighbours into one
        write. When more than the bound (`max_outbound_bytes`) waits, the socket is closed
        with 1013 instead.
        """

    def close(self, code: int, reason: str) -> None:
        """Close after all that was sent: later `send` calls are dropped. Idempotent.

        Args:
            code: a `CloseCode`.
            reason: at most 123 bytes; longer is cut.
        """

    def accept_peer(self, max_message_bytes: int | None = None) -> None:
        """Take messages of up to the server's bound from now on.

        Before, `MAX_UNACCEPTED_BYTES` is the bound: whoever has shown nothing yet makes the
        server hold little. May be called again.

        Args:
            max_message_bytes: a bound of the peer's own, below the server's; None: it has none.
        """

    def pause_reading(self) -> None:
        """Stop reading from the peer: the session has enough in hand. Idempotent."""

    def resume_reading(self) -> None:
        """Read again. Idempotent."""

    async def drained(self) -> None:
        """Wait until the peer has been sent what waits for it, or the socket is dead.

        For replays and large results: whoever waits here is not closed as a slow reader.
        """


class Session(Protocol):
    """One conversation on one socket. Called on the event loop only; never raises."""

    def opened(self, outlet: Outlet) -> None:
        """Begin: called once, before anything else, when the handshake is done."""

    def received(self, text: str | bytes) -> None:
        """Take one whole text message (valid UTF-8, within the size bounds)."""

    def received_binary(self) -> None:
        """Take note that a binary message came; no protocol here knows one."""

    def lost(self) -> None:
        """End: called exactly once, whoever closed; the outlet is dead from now on."""

    def shutdown(self) -> None:
        """The process is going away: say so (1012) once what was acknowledged is sent."""

    @property
    def busy(self) -> bool:
        """Whether something that the peer asked for is under way; subscriptions do not count."""
