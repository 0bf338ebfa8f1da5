"""Frames a client sends (RFC 6455, section 5): bytes in, whole messages out. No I/O.

Nothing here grows beyond the message bound: a length is judged when its header is read,
a fragmented message by the sum of its fragments.
"""

import codecs
from typing import Final, TypeAlias

from app.wire.close_codes import CloseCode
from app.wire.frames import MAX_CONTROL_BYTES, Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:  # An interpreter without the compiled extension.
    from websockets.utils import apply_mask

__all__ = ["PROTOCOL_ERROR", "Event", "FrameError", "FrameReader"]

PROTOCOL_ERROR: Final = 1002
"""Not among the close codes that the service itself chooses."""

_FIN: Final = 0x80
_RESERVED_BITS: Final = 0x70
_CONTROL: Final = 0x08
_MASKED: Final = 0x80
_FINAL_TEXT: Final = _FIN | Opcode.TEXT
_ZERO_MASK: Final = b"\0\0\0\0"

_utf8_decoder: Final = codecs.getincrementaldecoder("utf-8")


Event: TypeAlias = tuple[Opcode, bytes]
"""A whole message or a control frame, unmasked and valid."""


class FrameError(Exception):
    """The peer broke the protocol or a bound: close with this, read nothing more.

    Attributes:
        code: a close code.
        reason: what was wrong, for the close frame.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameReader:
    """The receiving half of one connection.

    Call `feed` with what came, then `next` until it returns None.

    Args:
        max_message_bytes: the longest message, fragments in sum; longer is 1009. May be
            raised at any time.
    """

    __slots__ = (
        "_at",
        "_data",
        "_decoder",
        "_final",
        "_mask",
        "_opcode",
        "_parts",
        "_remaining",
        "max_message_bytes",
    )

    def __init__(self, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes
        # Bytes not yet looked at begin at `_at`.
        self._data = b""
        self._at = 0
        # The message that has begun, if one has: its type and what came of it.
        self._opcode: Opcode | None = None
        self._parts: bytearray | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        # The frame that is only partly here: the payload still to come.
        self._remaining = 0
        self._final = False
        self._mask = _ZERO_MASK

    @property
    def held_bytes(self) -> int:
        """What is kept of frames and messages that are not whole, or not taken yet."""
        return len(self._data) + len(self._parts or b"")

    def feed(self, data: bytes) -> None:
        """Take bytes as they came from the network."""
        rest = len(self._data) - self._at
        self._data = self._data[self._at :] + data if rest else data
        self._at = 0

    def next(self) -> Event | None:
        """Return the next message or control frame, or None when more bytes are needed.

        Raises:
            FrameError: once; the reader is of no use afterwards.
        """
        while True:
            if self._remaining:
                event = self._take_partial()
                if event is not None:
                    return event
                if self._remaining:
                    break
            header = self._peek_header()
            if header is None:
                break
            first, start, length = header
            stop = start + length
            if first == _FINAL_TEXT and stop <= len(self._data):
                # One whole message in one frame: nearly all of them.
                payload = apply_mask(self._data[start:stop], self._data[start - 4 : start])
                self._at = stop
                if not payload.isascii():
                    _check_utf8(payload)
                return Opcode.TEXT, payload
            if first & _CONTROL:
                if stop > len(self._data):
                    break  # At most 125 bytes: wait for the whole.
                payload = apply_mask(self._data[start:stop], self._data[start - 4 : start])
                self._at = stop
                return _control(Opcode(first & 0x0F), payload)
            event = self._begin_partial(first, start, length)
            if event is not None:
                return event
        if self._at:
            # Let go of what was taken: a quiet connection must not hold its last read.
            self._data = self._data[self._at :]
            self._at = 0
        return None

    def _peek_header(self) -> tuple[int, int, int] | None:
        """Judge the next header: its first byte, where the payload starts, its length."""
        data, at = self._data, self._at
        if len(data) - at < 2:
            return None
        first, second = data[at], data[at + 1]
        if first != _FINAL_TEXT or self._opcode is not None:
            self._check_first_byte(first)
        if not second & _MASKED:
            # 5.1: "The server MUST close the connection upon receiving a frame that is
            # not masked."
            raise FrameError(PROTOCOL_ERROR, "a client's frames must be masked")
        length = second & 0x7F
        if first & _CONTROL and length > MAX_CONTROL_BYTES:
            raise FrameError(PROTOCOL_ERROR, "control frames carry at most 125 bytes")
        start = at + 6
        if length >= 126:
            start += 2 if length == 126 else 8
            if len(data) < start - 4:
                return None
            length = int.from_bytes(data[at + 2 : start - 4], "big")
        self._check_length(first, length)
        return (first, start, length) if len(data) >= start else None

    def _check_first_byte(self, first: int) -> None:
        if first & _RESERVED_BITS:
            # 5.2, RSV1 to 3: "MUST be 0 unless an extension is negotiated that defines
            # meanings for non-zero values." None is.
            raise FrameError(PROTOCOL_ERROR, "reserved bits must be 0")
        opcode = first & 0x0F
        if opcode & _CONTROL:
            if opcode > Opcode.PONG:
                raise FrameError(PROTOCOL_ERROR, f"opcode {opcode} is reserved")
            if not first & _FIN:
                # 5.5: "All control frames [...] MUST NOT be fragmented."
                raise FrameError(PROTOCOL_ERROR, "control frames must not be fragmented")
        elif opcode > Opcode.BINARY:
            raise FrameError(PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        elif opcode == Opcode.CONTINUATION:
            if self._opcode is None:
                raise FrameError(PROTOCOL_ERROR, "there is no message to continue")
        elif self._opcode is not None:
            # 5.4: "The fragments of one message MUST NOT be interleaved between the
            # fragments of another message".
            raise FrameError(PROTOCOL_ERROR, "the previous message is not finished")

    def _check_length(self, first: int, length: int) -> None:
        if length >= 1 << 63:
            raise FrameError(PROTOCOL_ERROR, "the length's most significant bit must be 0")
        if first & _CONTROL:
            return
        so_far = 0 if self._parts is None else len(self._parts)
        if so_far + length > self.max_message_bytes:
            raise FrameError(
                CloseCode.MESSAGE_TOO_BIG,
                f"the message has {so_far + length} bytes, at most {self.max_message_bytes} are "
                "allowed",
            )

    def _begin_partial(self, first: int, start: int, length: int) -> Event | None:
        """Begin a data frame that is a fragment, or binary, or not wholly here."""
        if self._opcode is None:
            self._opcode = Opcode(first & 0x0F)
            self._parts = bytearray()
            if self._opcode is Opcode.TEXT:
                self._decoder = _utf8_decoder()
        self._final = bool(first & _FIN)
        self._mask = self._data[start - 4 : start]
        self._remaining = length
        self._at = start
        return self._take_partial()

    def _take_partial(self) -> Event | None:
        """Take what is here of the frame that has begun."""
        assert self._parts is not None
        stop = min(self._at + self._remaining, len(self._data))
        came = stop - self._at
        chunk = apply_mask(self._data[self._at : stop], self._mask)
        self._at = stop
        self._remaining -= came
        # The mask goes on where this chunk ended.
        self._mask = self._mask[came % 4 :] + self._mask[: came % 4]
        self._parts += chunk
        whole = self._final and not self._remaining
        if self._decoder is not None:
            # Fail as soon as the text cannot become valid, not only at its end.
            try:
                self._decoder.decode(chunk, whole)
            except UnicodeDecodeError:
                raise _invalid_utf8() from None
        if not whole:
            return None
        assert self._opcode is not None
        event = (self._opcode, bytes(self._parts))
        self._opcode = self._parts = self._decoder = None
        return event


def _control(opcode: Opcode, payload: bytes) -> Event:
    if opcode is Opcode.CLOSE and payload:
        if len(payload) == 1:
            raise FrameError(PROTOCOL_ERROR, "a close code needs 2 bytes")
        code = int.from_bytes(payload[:2], "big")
        if not _may_be_sent(code):
            raise FrameError(PROTOCOL_ERROR, f"close code {code} must not be sent")
        _check_utf8(payload[2:])
    return opcode, payload


def _may_be_sent(code: int) -> bool:
    # 7.4.1 and 7.4.2. 1004 to 1006 and 1015 "MUST NOT be set as a status code in a Close
    # control frame"; 1012 to 1014 were registered with IANA later.
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise _invalid_utf8() from None


def _invalid_utf8() -> FrameError:
    # 8.1: "that endpoint MUST _Fail the WebSocket Connection_."
    return FrameError(CloseCode.INVALID_TEXT, "text must be valid UTF-8")
