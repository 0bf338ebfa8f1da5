"""What came on a WebSocket, frame by frame; and a reader that checks what each one says.

No socket: bytes in.
"""

from array import array
from typing import Final

__all__ = ["Reader", "frames"]

_DATA: Final = b'"data":"'
_ID: Final = b'"id":"'
_ACK: Final = b'{"type":"ack"'


def frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Split what came on a WebSocket into the payloads of whole frames and what is left."""
    found, at = [], 0
    while len(data) - at >= 2:
        # RFC 6455, 5.2: "If 126, the following 2 bytes […] are the payload length. If 127, the
        # following 8 bytes". A server's frames are not masked.
        length, start = data[at + 1], at + 2
        if length >= 126:
            start += 2 if length == 126 else 8
            length = int.from_bytes(data[at + 2 : start], "big")
        if start + length > len(data):
            break
        at = start + length
        found.append(data[start:at])
    return found, data[at:]


class Reader:
    """One connection's frames, in the order they came, told by a number in the data.

    Args:
        heard: where the numbers go, one for each message; a later connection of the same
            subscriber goes on with it.
    """

    def __init__(self, heard: "array[int] | None" = None) -> None:
        self.heard: array[int] = array("L") if heard is None else heard
        self.cursor: str | None = None
        """The id of the last message of this connection."""
        self.close_code: int | None = None
        """Of the close frame, once it has come."""
        self.pings: list[bytes] = []
        """What pings carried; whoever answers them takes them out."""
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take what has come; return the texts that bring no message of a subscription."""
        data = self._rest + chunk if self._rest else chunk
        others: list[bytes] = []
        heard, find = self.heard, data.find
        at, size = 0, len(data)
        last: tuple[int, int] | None = None
        while size - at >= 2:
            # RFC 6455, 5.2: "If 126, the following 2 bytes […] are the payload length. If
            # 127, the following 8 bytes". A server's frames are not masked.
            length, start = data[at + 1], at + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[at + 2 : start], "big")
            end = start + length
            if start > size or end > size:
                break
            opcode = data[at] & 15
            if opcode == 1:
                found = find(_DATA, start, end)
                if found < 0 or data.startswith(_ACK, start):
                    others.append(data[start:end])
                else:
                    number = found + len(_DATA)
                    heard.append(int(data[number : number + 9]))
                    last = (start, found)
            elif opcode == 8:
                self.close_code = int.from_bytes(data[start : start + 2], "big")
            elif opcode == 9:
                self.pings.append(data[start:end])
            at = end
        self._rest = data[at:]
        if last is not None:
            identifier = data.rindex(_ID, *last) + len(_ID)
            self.cursor = data[identifier : data.index(b'"', identifier)].decode()
        return others
