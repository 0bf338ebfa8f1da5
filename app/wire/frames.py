"""Frames a server sends (RFC 6455, section 5), and the codes of both directions.

A server's frame is header + payload: section 5.1, "A server MUST NOT mask any frames
that it sends to the client", so one frame can go to any number of clients as it is.
"""

from enum import IntEnum
from typing import Final

__all__ = [
    "MAX_CONTROL_BYTES",
    "PING",
    "Opcode",
    "close_frame",
    "frame",
    "pong_frame",
    "text_frame",
]


class Opcode(IntEnum):
    """Section 5.2. The values between are reserved."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


MAX_CONTROL_BYTES: Final = 125
"""Section 5.5: "All control frames MUST have a payload length of 125 bytes or less"."""

_FIN: Final = 0x80


def _header(opcode: int, length: int) -> bytes:
    first = _FIN | opcode
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


# Made once, 90 kB: most deliveries are shorter than this.
_TEXT_HEADERS: Final = tuple(_header(Opcode.TEXT, length) for length in range(2048))

PING: Final = _header(Opcode.PING, 0)
"""A ping without payload; whatever the peer sends next answers it."""


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """Return one whole message as one frame."""
    return _header(opcode, len(payload)) + payload


def text_frame(payload: bytes) -> bytes:
    """Return a text message, given as UTF-8, as one frame."""
    length = len(payload)
    if length < 2048:
        return _TEXT_HEADERS[length] + payload
    return _header(Opcode.TEXT, length) + payload


def pong_frame(payload: bytes) -> bytes:
    """Answer a ping: section 5.5.3, a pong carries the ping's application data."""
    return _header(Opcode.PONG, len(payload)) + payload


def close_frame(code: int | None, reason: str) -> bytes:
    """Say goodbye.

    Args:
        code: a close code that may be sent, or None for a frame without a body.
        reason: at most 123 bytes of UTF-8; longer is cut between characters.
    """
    if code is None:
        return _header(Opcode.CLOSE, 0)
    # Section 5.5.1: "the first two bytes of the body MUST be a 2-byte unsigned integer".
    text = reason.encode()[: MAX_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return frame(Opcode.CLOSE, code.to_bytes(2, "big") + text)
