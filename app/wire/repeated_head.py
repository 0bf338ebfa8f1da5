"""A request head that a connection has seen before, told by its bytes.

A client says the same head with every request of a connection, but for the length of the body.
Where all other bytes are those that were parsed and judged once, nothing need be parsed again.
"""

import re
from typing import Final, Self

from app.wire.exchange import RequestHead

__all__ = ["RepeatedHead"]

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})(?=\r\n)", re.IGNORECASE)
_LENGTH_NAME: Final = b"\r\ncontent-length"
_MAX_DIGITS: Final = 9
_MAX_HEAD_BYTES: Final = 4096
"""A longer head is parsed each time: it would be kept with an idle connection."""


class RepeatedHead:
    """The bytes of one head, cut where the length of the body stands.

    Args:
        before: those before the digits.
        after: those after them, the empty line included.
        head: what they mean.
    """

    __slots__ = ("_after", "_before", "head")

    def __init__(self, before: bytes, after: bytes, head: RequestHead) -> None:
        self._before = before
        self._after = after
        self.head = head

    @classmethod
    def of(cls, data: bytes, body: bytes, head: RequestHead) -> Self | None:
        """Return the head of a request that was parsed; None where it has not this form.

        Nor where it has more than 4 KiB.

        Args:
            data: the bytes in which it came, from its first one to the end of its body.
            body: as it was parsed.
            head: what it means.
        """
        end = data.find(b"\r\n\r\n") + 4
        found = _LENGTH.search(data, 0, end)
        if (
            found is None
            or end > _MAX_HEAD_BYTES
            or data[end:] != body
            or int(found[1]) != len(body)
        ):
            return None
        if data[:end].lower().count(_LENGTH_NAME) != 1:
            return None
        return cls(data[: found.start(1)], data[found.end(1) : end], head)

    def body_of(self, data: bytes) -> bytes | None:
        """Return the body if `data` is exactly one request with this head; else None."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        stop = data.find(b"\r", len(before), len(before) + _MAX_DIGITS + 1)
        digits = data[len(before) : stop]
        if stop < 0 or not digits.isdigit() or not data.startswith(after, stop):
            return None
        body = data[stop + len(after) :]
        return body if len(body) == int(digits) else None
