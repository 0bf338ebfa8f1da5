"""A soak: half load for minutes, clients coming and going, one that never reads.

    python -m benchmarks.soak --minutes 10

Every steady subscriber checks that it is sent every message once and in order, by a number
in the data. Shown at the end: lost and repeated messages, what the reader that never reads
was closed with, and the server's memory and open files at the start and at the end.
"""

import select
import socket
import sys
import time
from collections.abc import Iterator

from benchmarks import wire
from benchmarks.opening import open_sockets
from benchmarks.reader import Reader
from benchmarks.report import options, show, steps
from benchmarks.servers import postgres, serve
from benchmarks.soak_publisher import NumberedPublisher

_WIDGET = "soak"
_PUBLISHES_PER_SECOND = 100.0
_CHURN_PER_SECOND = 20


class _Steady(Reader):
    """A subscriber that checks what it is sent."""

    def __init__(self, opened: socket.socket) -> None:
        super().__init__()
        self.socket = opened
        self.last: int | None = None
        self.received = self.lost = self.repeated = 0

    def receive(self) -> None:
        """Take what has come.

        Raises:
            RuntimeError: the server hung up.
        """
        chunk = self.socket.recv(1 << 18)
        if not chunk:
            raise RuntimeError("the server closed a subscriber that reads")
        self.feed(chunk)
        for number in self.heard:
            self.received += 1
            if self.last is not None:
                if number <= self.last:
                    self.repeated += 1
                    continue
                self.lost += number - self.last - 1
            self.last = number
        del self.heard[:]


def _subscribe(port: int, count: int) -> list[socket.socket]:
    def said(number: int) -> list[tuple[bytes, bytes]]:
        ask = wire.subscribe(number, _WIDGET) + wire.marker()
        return [(wire.initialise(), b"connection_ack"), (ask, b'"complete"')]

    return open_sockets(port, count, wire.handshake(), said)


def _stalled(port: int) -> socket.socket:
    """A subscriber that never reads again, its window small so that it shows soon."""
    (stalled,) = _subscribe(port, 1)
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return stalled


def _marks(minutes: float) -> Iterator[float]:
    began = time.monotonic()
    for number in range(1, 11):
        yield began + minutes * 60 * number / 10


def _receive(
    epoll: select.epoll, readers: dict[int, _Steady], publisher: NumberedPublisher, seconds: float
) -> None:
    for number, _ in epoll.poll(seconds, 4096):
        if number in readers:
            readers[number].receive()
        else:
            publisher.receive()


def main() -> None:
    chosen = options(__doc__ or "", minutes=10.0, subscribers=500)
    memory: list[tuple[int, int]] = []
    with (
        postgres() as url,
        steps(10, "soak") as bar,
        serve("widgetwire", url, settings={"WIDGETWIRE_MAX_OUTBOUND_BYTES": "65536"}) as server,
    ):
        readers = {
            r.socket.fileno(): r for r in map(_Steady, _subscribe(server.port, chosen.subscribers))
        }
        publisher = NumberedPublisher(server.port, _WIDGET)
        stalled = _stalled(server.port)
        epoll = select.epoll()
        for number in (*readers, publisher.fileno()):
            epoll.register(number, select.EPOLLIN)
        began = churned_at = time.monotonic()
        churned = 0
        cpu = server.cpu_seconds()
        for mark in _marks(chosen.minutes):
            while (now := time.monotonic()) < mark:
                if publisher.sent < (now - began) * _PUBLISHES_PER_SECOND and not publisher.busy:
                    publisher.send()
                if now - churned_at > 1:
                    for passing in _subscribe(server.port, _CHURN_PER_SECOND):
                        passing.close()
                    churned, churned_at = churned + _CHURN_PER_SECOND, now
                _receive(epoll, readers, publisher, 0.005)
            memory.append((server.resident_bytes(), server.open_files()))
            bar.done()
        busy = (server.cpu_seconds() - cpu) / (time.monotonic() - began)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (
            publisher.busy or any(r.last != publisher.sent for r in readers.values())
        ):
            _receive(epoll, readers, publisher, 0.1)
        # Up to some 4 MB fit into the kernel's buffers: in a short soak nothing waits in the
        # server. Asked of the server: the client's end still has those to read.
        closed = not server.holds(stalled.getsockname()[1])
        stalled.close()
    unfinished = sum(publisher.sent - (r.last or 0) for r in readers.values())
    lost = sum(r.lost for r in readers.values()) + unfinished
    repeated = sum(r.repeated for r in readers.values())
    first, last = memory[2], memory[-1]
    rows: list[list[object]] = [
        ["minutes", chosen.minutes],
        ["subscribers", chosen.subscribers],
        ["published", publisher.sent],
        ["deliveries", sum(r.received for r in readers.values())],
        ["connections that came and went", churned],
        ["server core busy", busy],
        ["lost", lost],
        ["repeated", repeated],
        ["the reader that never reads was closed", "yes" if closed else "no"],
        ["MiB after three tenths of the time", first[0] / 2**20],
        ["MiB at the end", last[0] / 2**20],
        ["open files after three tenths", first[1]],
        ["open files at the end", last[1]],
    ]
    show("Soak", ("what", "figure"), rows, chosen.json)
    if lost or repeated:
        sys.exit(1)


if __name__ == "__main__":
    main()
