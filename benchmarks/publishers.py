"""Publishers: each with a bound of unanswered publishes.

On sockets acknowledgements are told by length, as with subscribers: all answers of a run have the
same, learned from the first.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from benchmarks import wire
from benchmarks.opening import TIMEOUT_SECONDS, connect, open_sockets, receive_until

__all__ = ["HttpPublisher", "LegacyPublisher", "MarkedPublisher", "Publisher", "SocketPublisher"]

_END = b"}}}"
"""Of the answer to a publish."""


class Publisher(Protocol):
    """One connection that publishes."""

    acked: int

    @property
    def busy(self) -> bool:
        """Whether something is unanswered."""

    def fileno(self) -> int:
        """The descriptor to wait for."""

    def room(self) -> int:
        """How many publishes it may send now."""

    def send(self, count: int) -> None:
        """Publish."""

    def receive(self) -> int:
        """Take answers; return how many came."""

    def close(self) -> None:
        """Hang up."""


class HttpPublisher:
    """Durable mutations over one keep-alive connection, one at a time."""

    def __init__(self, port: int, widget: str) -> None:
        self._socket = connect(port)
        self._request = wire.http_publish(widget)
        self.busy = False
        self.acked = 0
        self._socket.sendall(self._request)
        _answer(self._socket)
        self._received = b""

    def fileno(self) -> int:
        return self._socket.fileno()

    def room(self) -> int:
        return 0 if self.busy else 1

    def send(self, count: int) -> None:
        assert count == 1
        self.busy = True
        self._socket.sendall(self._request)

    def receive(self) -> int:
        chunk = self._socket.recv(65536)
        if not chunk:
            raise RuntimeError("the server hung up on a publisher")
        received = self._received = self._received + chunk
        if not received.startswith(b"HTTP/1.1 200") or b'"errors"' in received:
            raise RuntimeError(f"a publish was answered with {received[:500]!r}")
        # Not by its length: the number of the request is in its id.
        if not received.endswith(_END):
            return 0
        self._received = b""
        self.busy = False
        self.acked += 1
        return 1

    def close(self) -> None:
        self._socket.close()


def _answer(client: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        chunk = client.recv(65536)
        body += chunk
        received += chunk
    if b'"errors"' in body:
        raise RuntimeError(f"a publish was answered with {body!r}")
    return received


class _Pipelined:
    """Publishes that do not wait for one another, up to a bound."""

    def __init__(self, opened: socket.socket, frames: Sequence[bytes], ends: bytes) -> None:
        self._socket = opened
        self._frames = frames
        self._next = 1
        self._unanswered = 0
        self.acked = 0
        self._socket.settimeout(TIMEOUT_SECONDS)
        self._socket.sendall(frames[0])
        received = receive_until(self._socket, ends)
        # From here on epoll tells when there is something to receive.
        self._socket.setblocking(True)
        if b'"error' in received:
            raise RuntimeError(f"a publish was answered with {received!r}")
        self._answered(received)

    @property
    def busy(self) -> bool:
        return self._unanswered > 0

    def _answered(self, first: bytes) -> None:
        raise NotImplementedError

    def fileno(self) -> int:
        return self._socket.fileno()

    def room(self) -> int:
        return len(self._frames) // 2 - self._unanswered

    def send(self, count: int) -> None:
        end = self._next + count
        frames = self._frames[self._next : end]
        if end > len(self._frames):
            end -= len(self._frames)
            frames = [*frames, *self._frames[:end]]
        self._next = end
        self._unanswered += count
        self._socket.sendall(b"".join(frames))

    def receive(self) -> int:
        chunk = self._socket.recv(1 << 18)
        if not chunk:
            raise RuntimeError("the server hung up on a publisher")
        count = self._count(chunk)
        self._unanswered -= count
        self.acked += count
        return count

    def _count(self, chunk: bytes) -> int:
        raise NotImplementedError

    def close(self) -> None:
        self._socket.close()


class SocketPublisher(_Pipelined):
    """Mutations over graphql-transport-ws, `depth` of them unanswered at most.

    Args:
        port: of the server.
        widget: the channel.
        depth: see above.
        data: of each of the 2 * `depth` messages that are sent in turn.
    """

    def __init__(
        self,
        port: int,
        widget: str,
        depth: int,
        data: Callable[[int], object] = lambda _: wire.DATA,
    ) -> None:
        (opened,) = open_sockets(
            port, 1, wire.handshake(), lambda _: [(wire.initialise(), b"connection_ack")]
        )
        frames = [wire.publish(number, widget, data(number)) for number in range(2 * depth)]
        super().__init__(opened, frames, b'"complete"}')

    def _answered(self, first: bytes) -> None:
        # `next` and `complete`.
        self._answer_bytes = len(first)
        self._rest = 0

    def _count(self, chunk: bytes) -> int:
        count, self._rest = divmod(self._rest + len(chunk), self._answer_bytes)
        return count


class MarkedPublisher(_Pipelined):
    """Publishes whose answers vary in length; each holds a marker once."""

    def __init__(self, opened: socket.socket, frames: Sequence[bytes], marker: bytes) -> None:
        self._marker = marker
        super().__init__(opened, frames, marker)

    def _answered(self, first: bytes) -> None:  # noqa: ARG002 - its length tells nothing
        self._rest = b""

    def _count(self, chunk: bytes) -> int:
        chunk = self._rest + chunk
        self._rest = chunk[1 - len(self._marker) :]
        return chunk.count(self._marker)


class LegacyPublisher(MarkedPublisher):
    """Publishes on a legacy socket, which is sent its own messages too."""

    def __init__(self, port: int, widget: str, depth: int) -> None:
        (opened,) = open_sockets(
            port, 1, wire.legacy_handshake(widget), lambda _: [(wire.LEGACY_OPEN, b'"open"')]
        )
        frames = [wire.legacy_publish(number) for number in range(2 * depth)]
        super().__init__(opened, frames, b'"type":"ack"')
