"""One live query watched by many, while its channel is voted in.

    python -m benchmarks.live [--viewers 1000 10000] [--votes 50]

All viewers watch how many messages say each thing, over GraphQL sockets. A vote is a publish
over HTTP; it counts from when it was due. "Last to all" is the time from the last vote's
acknowledgement until every viewer has a result that counts it.
"""

import re
import select
import statistics
import time
from typing import Any, Final

from benchmarks import wire
from benchmarks.load import percentile
from benchmarks.opening import AT_ONCE, Turns, connect, open_sockets
from benchmarks.report import options, show, steps
from benchmarks.servers import Server, postgres, serve

_CLIENTS: Final = 16
_CHOICES: Final = ("red", "green", "blue", "yellow")
_WIDGET: Final = "poll"
_LAST_SECONDS: Final = 30.0
_ANSWERED: Final = b"}}}"
"""How an answer ends."""
_COUNT: Final = re.compile(rb'"count":(\d+)')
_COLUMNS: Final = (
    "viewers",
    "votes/s",
    "vote p50 ms",
    "vote p99 ms",
    "results/s for each",
    "last to all ms",
    "cores",
)


class _Voter:
    """One keep-alive connection with at most one unanswered vote."""

    def __init__(self, port: int) -> None:
        self.socket = connect(port)
        self.due: float | None = None
        self._answer = b""

    def vote(self, number: int, due: float) -> None:
        self.due = due
        self.socket.sendall(wire.vote(_WIDGET, _CHOICES[number % len(_CHOICES)]))

    def answered(self) -> float | None:
        """Take what has come of the answer.

        Returns:
            How many seconds the vote took; None: there is more to come.
        """
        self._answer += self.socket.recv(65536)
        if not self._answer.endswith(_ANSWERED):
            return None
        if not self._answer.startswith(b"HTTP/1.1 200") or b'"errors"' in self._answer:
            raise RuntimeError(f"a vote was answered with {self._answer[:300]!r}")
        assert self.due is not None
        took, self.due, self._answer = time.perf_counter() - self.due, None, b""
        return took


class _Viewers:
    """Sockets that watch, and the last thing each was told."""

    def __init__(self, port: int, count: int) -> None:
        def said(number: int) -> Turns:
            last = number % AT_ONCE == AT_ONCE - 1 or number == count - 1
            watch = (wire.live(number, _WIDGET), b'"next"' if last else b"")
            return [(wire.initialise(), b"connection_ack"), watch]

        self._by_fd = {
            each.fileno(): each for each in open_sockets(port, count, wire.handshake(), said)
        }
        self.epoll = select.epoll()
        for number in self._by_fd:
            self.epoll.register(number, select.EPOLLIN)
        self._told: dict[int, bytes] = {}
        self.results = 0

    def __len__(self) -> int:
        return len(self._by_fd)

    def poll(self, timeout_seconds: float) -> list[int]:
        """Receive what has come, and return the descriptors that are not viewers."""
        others: list[int] = []
        for number, _ in self.epoll.poll(timeout_seconds, 4096):
            viewer = self._by_fd.get(number)
            if viewer is None:
                others.append(number)
                continue
            received = viewer.recv(65536)
            if not received:
                raise RuntimeError("the server closed a viewer")
            self.results += received.count(b'"type":"next"')
            self._told[number] = received
        return others

    def all_told(self, total: int) -> bool:
        """Whether each has a result that counts so many votes."""
        return len(self._told) == len(self) and all(
            sum(map(int, _COUNT.findall(one))) == total for one in self._told.values()
        )

    def close(self) -> None:
        self.epoll.close()
        for viewer in self._by_fd.values():
            viewer.close()


def _voted(
    server: Server, viewers: _Viewers, voters: dict[int, _Voter], before: int, rate: float,
    seconds: float,
) -> list[float]:  # fmt: skip
    """Vote on time for so long; return a row of figures but for the number of viewers."""
    took: list[float] = []
    sent, waiting = 0, set(voters)
    results, cpu, began = viewers.results, server.cpu_seconds(), time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds or len(waiting) < len(voters):
        while elapsed < seconds and waiting and sent < int(elapsed * rate) + 1:
            voters[waiting.pop()].vote(before + sent, began + sent / rate)
            sent += 1
        for number in viewers.poll(max(0.0, min(0.2, sent / rate - elapsed))):
            if (one := voters[number].answered()) is not None:
                took.append(one)
                waiting.add(number)
    elapsed = time.perf_counter() - began
    each = (viewers.results - results) / len(viewers) / elapsed
    cores = (server.cpu_seconds() - cpu) / elapsed
    acknowledged = time.perf_counter()
    while not viewers.all_told(before + sent):
        if time.perf_counter() - acknowledged > _LAST_SECONDS:
            raise RuntimeError(f"not every viewer was told of {before + sent} votes")
        viewers.poll(0.05)
    last = time.perf_counter() - acknowledged
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    return [sent, len(took) / elapsed, p50 * 1000, p99 * 1000, each, last * 1000, cores]


def _measure(server: Server, count: int, chosen: Any) -> list[float]:
    voters = {
        voter.socket.fileno(): voter for voter in (_Voter(server.port) for _ in range(_CLIENTS))
    }
    viewers = _Viewers(server.port, count)
    for number in voters:
        viewers.epoll.register(number, select.EPOLLIN)
    rows: list[list[float]] = []
    total = 0
    for _ in range(chosen.rounds):
        figures = _voted(server, viewers, voters, total, chosen.votes, chosen.seconds)
        total += int(figures[0])
        rows.append(figures[1:])
    viewers.close()
    for voter in voters.values():
        voter.socket.close()
    return [statistics.median(one) for one in zip(*rows, strict=True)]


def main() -> None:
    chosen = options(__doc__ or "", viewers=[1_000, 10_000], votes=50.0)
    counts = [20] if chosen.small else chosen.viewers
    rows: list[list[object]] = []
    with postgres() as url, steps(len(counts), "live query") as bar:
        for count in counts:
            bar.says(f"{count:,} viewers")
            with serve("widgetwire", url) as server:
                rows.append([count, *_measure(server, count, chosen)])
            bar.done()
    show("One live query, one server core", _COLUMNS, rows, chosen.json)


if __name__ == "__main__":
    main()
