"""Texts larger than one notification: cut into chunks, and put together again.

A NOTIFY payload is at most 7,999 bytes; those of one transaction come in order and together
(https://www.postgresql.org/docs/current/sql-notify.html).
A chunk is `key/number/count/part`; a text that fits is the one chunk of its own.
"""

import secrets
from typing import Final

__all__ = ["Assembler", "chunked"]

_MAX_PAYLOAD_BYTES: Final = 7_900
_HEADER_BYTES: Final = 32
_PART_BYTES: Final = _MAX_PAYLOAD_BYTES - _HEADER_BYTES


def chunked(text: str) -> list[str]:
    """Return the chunks of a text, each a valid NOTIFY payload."""
    raw = text.encode()
    if len(raw) <= _PART_BYTES:
        return [f"/{text}"]
    key = secrets.token_hex(8)
    parts: list[bytes] = []
    start = 0
    while start < len(raw):
        end = min(start + _PART_BYTES, len(raw))
        # Not inside a character: its continuation bytes are 0b10xxxxxx (RFC 3629).
        while end < len(raw) and raw[end] & 0b1100_0000 == 0b1000_0000:
            end -= 1
        parts.append(raw[start:end])
        start = end
    return [f"{key}/{i}/{len(parts)}/{part.decode()}" for i, part in enumerate(parts)]


class Assembler:
    """Puts chunks together, of one text at a time.

    The chunks of a text are sent in one transaction, and Postgres delivers transaction after
    transaction: another text's chunk means that the rest of this one will not come. What is
    incomplete is dropped.
    """

    def __init__(self) -> None:
        self._key = ""
        self._parts: list[str] = []

    def add(self, chunk: str) -> str | None:
        """Take a chunk; return the text it completes, if it does.

        Raises:
            ValueError: not a chunk.
        """
        if chunk.startswith("/"):
            return chunk[1:]
        key, number, count, part = chunk.split("/", 3)
        place, last = int(number), int(count) - 1
        if place == 0:
            self._key, self._parts = key, []
        if key != self._key or place != len(self._parts):
            return None  # its beginning came before this process listened
        self._parts.append(part)
        return "".join(self._parts) if place == last else None
