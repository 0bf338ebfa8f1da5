"""A publisher that numbers what it publishes, one at a time over HTTP."""

import socket

from benchmarks import wire

__all__ = ["NumberedPublisher"]


class NumberedPublisher:
    """One keep-alive connection; the data is nine digits and as much as makes 256 bytes."""

    def __init__(self, port: int, widget: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(30)
        self._widget = widget
        self._answer = b""
        self.sent = 0
        self.busy = False

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._socket.fileno()

    def send(self) -> None:
        """Publish the next number."""
        self.sent += 1
        self.busy = True
        self._socket.sendall(wire.post(wire.numbered(self.sent, self._widget)))

    def receive(self) -> None:
        """Take the answer.

        Raises:
            RuntimeError: the server refused, or hung up.
        """
        chunk = self._socket.recv(65536)
        self._answer += chunk
        if not chunk or b'"errors"' in self._answer:
            raise RuntimeError(f"a publish was answered with {self._answer!r}")
        if self._answer.endswith(b"}}}"):
            self._answer = b""
            self.busy = False
