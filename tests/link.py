"""A link to a server that loses answers, breaks off or falls silent when a test says so."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

__all__ = ["Link"]


class Link:
    """A proxy on a port of this machine, in threads of its own: tests count the loop's tasks."""

    def __init__(self) -> None:
        self.leads_to: int | str = 0
        """A port of this machine, or the path of a Unix socket."""
        self.answers_lost = 0
        self.broken_off = threading.Event()
        """Set once `break_off_after` has done so."""
        self.refused = threading.Event()
        """Set once somebody came while there was no server."""
        self._marker = b""
        self._bytes_left: int | None = None
        self._silent = threading.Event()
        self._entrance = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._entrance.getsockname()[1])
        self._sockets = [self._entrance]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def lose_the_answer_to(self, marker: bytes) -> None:
        """Let the next bytes with this marker through, and close instead of the answer."""
        self._marker = marker

    def break_off_after(self, answered: int) -> None:
        """Let this many more bytes of answers through, then break that connection."""
        self.broken_off.clear()
        self._bytes_left = answered

    def fall_silent(self) -> None:
        """Pass nothing more over the connections there are, and leave them open."""
        self._silent.set()
        self._silent = threading.Event()

    def swallow(self) -> None:
        """Pass nothing more, new connections included, until it leads somewhere again."""
        # The kernel takes connections for it; nobody ever reads from them.
        hole = socket.create_server(("127.0.0.1", 0))
        self._sockets.append(hole)
        self.leads_to = int(hole.getsockname()[1])
        self.fall_silent()

    def cut(self) -> None:
        """Break the connections there are."""
        _shut(*(one for one in self._sockets if one is not self._entrance))

    def close(self) -> None:
        """Break every connection and take no more. Idempotent."""
        _shut(*self._sockets)
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._entrance.accept()
                server = socket.socket(
                    socket.AF_UNIX if isinstance(self.leads_to, str) else socket.AF_INET
                )
                self._sockets += [client, server]
                place = self.leads_to
                try:
                    server.connect(place if isinstance(place, str) else ("127.0.0.1", place))
                except OSError:
                    _shut(client)
                    client.close()
                    self.refused.set()
                    continue
                losing, silent = threading.Event(), self._silent
                self._start(self._ask, client, server, losing, silent)
                self._start(self._answer, server, client, losing, silent)

    def _ask(
        self,
        client: socket.socket,
        server: socket.socket,
        losing: threading.Event,
        silent: threading.Event,
    ) -> None:
        with suppress(OSError):
            while asked := client.recv(65_536):
                if silent.is_set():
                    continue
                if self._marker and self._marker in asked:
                    self._marker = b""
                    losing.set()
                server.sendall(asked)
        _shut(client, server)

    def _answer(
        self,
        server: socket.socket,
        client: socket.socket,
        losing: threading.Event,
        silent: threading.Event,
    ) -> None:
        with suppress(OSError):
            while answer := server.recv(65_536):
                if silent.is_set():
                    continue
                if losing.is_set():
                    self.answers_lost += 1
                    break
                if self._bytes_left is not None:
                    if len(answer) >= self._bytes_left:
                        client.sendall(answer[: self._bytes_left])
                        self._bytes_left = None
                        self.broken_off.set()
                        break
                    self._bytes_left -= len(answer)
                client.sendall(answer)
        _shut(client, server)


def _shut(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
