"""The conversation with one legacy client, without its socket: text in, decisions out.

        AWAITING_OPEN ──open──► OPENING ──ready()──► OPEN
              │                    │                   │
              └── first frame is no open, bad open, late, opened twice, noise ──► CLOSED

Nothing here waits, writes or raises; `session` does what is decided here.
"""

from enum import Enum, auto
from typing import TypeAlias

import msgspec

from app.defaults import HANDSHAKE_TIMEOUT_SECONDS
from app.errors import ErrorCode, WidgetwireError
from app.transports.legacy.frames import Call, Open, Refused, Unreadable, parse_frame
from app.wire.close_codes import CloseCode
from app.wire.outcomes import outcome_of

__all__ = ["Close", "Decision", "Protocol", "State"]


class State(Enum):
    """Where the conversation is."""

    AWAITING_OPEN = auto()
    OPENING = auto()
    """`open` came and is being carried out."""
    OPEN = auto()
    CLOSED = auto()


class Close(msgspec.Struct, frozen=True):
    """End the conversation: an `error` frame that says why, then the close."""

    code: CloseCode
    error: ErrorCode
    reason: str


Decision: TypeAlias = Open | Call | Refused | Close
"""Carry out a command, answer with an error, or end it."""


class Protocol:
    """One conversation's state."""

    def __init__(self, open_timeout_seconds: float = HANDSHAKE_TIMEOUT_SECONDS) -> None:
        self._open_timeout = open_timeout_seconds
        self._state = State.AWAITING_OPEN

    @property
    def state(self) -> State:
        """Where the conversation is."""
        return self._state

    def receive(self, text: str | bytes) -> Decision | None:
        """Return what to do about one text message; None once the conversation is over."""
        if self._state is State.CLOSED:
            return None
        frame = parse_frame(text)
        if isinstance(frame, Unreadable):
            return self._close(CloseCode.MALFORMED, frame.reason)
        if isinstance(frame, Refused) and frame.type == "open":
            return self.failed(frame.error)
        if isinstance(frame, Open):
            if self._state is not State.AWAITING_OPEN:
                return self._close(CloseCode.CONFLICT, "a second open is not allowed")
            self._state = State.OPENING
        elif self._state is State.AWAITING_OPEN:
            return self._close(CloseCode.MALFORMED, "the first frame must be open")
        return frame

    def receive_binary(self) -> Close | None:
        """Return what to do about a binary message; None once the conversation is over."""
        if self._state is State.CLOSED:
            return None
        return self._close(CloseCode.MALFORMED, "frames must be text, got a binary frame")

    def ready(self) -> None:
        """Take note that `open` was carried out."""
        if self._state is State.OPENING:
            self._state = State.OPEN

    def timed_out(self) -> Close | None:
        """Return what to do when the time for `open` is over; None: it came, or all is over."""
        if self._state is not State.AWAITING_OPEN:
            return None
        self._state = State.CLOSED
        return Close(
            CloseCode.INITIALISATION_TIMEOUT,
            ErrorCode.BAD_USER_INPUT,
            f"open did not arrive within {self._open_timeout:g} s",
        )

    def failed(self, error: WidgetwireError) -> Close | None:
        """Return how the conversation ends because of `error`; None: it is over already."""
        if self._state is State.CLOSED:
            return None
        self._state = State.CLOSED
        return Close(outcome_of(error).close, error.code, error.message)

    def closed(self) -> None:
        """Take note that the socket is closed, or being closed."""
        self._state = State.CLOSED

    def _close(self, code: CloseCode, reason: str) -> Close:
        self._state = State.CLOSED
        return Close(code, ErrorCode.BAD_USER_INPUT, reason)
