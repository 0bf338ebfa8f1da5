"""Live queries watched by many, while their channel is voted in.

    python -m benchmarks.live [--viewers 1000 10000] [--votes 50]

All viewers watch how many messages say each thing, over GraphQL sockets. A vote is a publish
over HTTP; it counts from when it was due. "Result age" is how old the newest vote that a
result counts is when the result arrives; "vote to result" the same of the oldest vote that no
result before counted: nobody waited longer. Votes that are under way at once may be taken for each
other. "Last to all" is the time from the last vote's acknowledgement until the viewers have a
result that counts it. All three at 100 viewers; the others read what they were sent at the
end of a round, so that the load is not what is measured, and must have such a result too.
"""

import re
import select
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks import wire
from benchmarks.load import percentile
from benchmarks.opening import Turns, connect, open_sockets
from benchmarks.reader import frames
from benchmarks.report import options, show, steps
from benchmarks.servers import Server, postgres, serve

__all__ = ["FIGURES", "Watched", "watched_by"]

_CHOICES: Final = ("red", "green", "blue", "yellow")
_FIRST_SECONDS: Final = 120.0
_LAST_SECONDS: Final = 30.0
_IDLE_SECONDS: Final = 0.2
_SAMPLED: Final = 100
_AT_A_TIME: Final = 64
_ANSWERED: Final = b"}}}"
"""How an answer ends."""
_NEXT: Final = b'"type":"next"'
_COUNT: Final = re.compile(rb'ount":(\d+)')
"""Of groups, and of a total."""

FIGURES: Final = (
    "votes/s",
    "vote p50 ms",
    "vote p99 ms",
    "results/s for each",
    "result age p99 ms",
    "vote to result p99 ms",
    "last to all ms",
    "cores",
    "load busy",
)
"""What `watched_by` returns."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched in a channel, and what is said there."""

    widget: str
    selection: str
    """Of the result: `count` of groups, or `totalCount`."""
    query: Callable[[int], Mapping[str, object]]
    """A viewer's, by number."""
    data: Callable[[int], object]
    """A vote's, by number."""
    viewers_of: int = 1
    """Vote n concerns the viewers whose number is n modulo this; all alike: 1."""


_POLL: Final = Watched(
    widget="poll",
    selection="groups { key count }",
    query=lambda _: {"groupBy": "data.choice"},
    data=lambda number: {"choice": _CHOICES[number % len(_CHOICES)]},
)


class _Voter:
    """One keep-alive connection with at most one unanswered vote."""

    def __init__(self, port: int) -> None:
        self.socket = connect(port)
        self.due: float | None = None
        self._answer = b""

    def vote(self, request: bytes, due: float) -> None:
        self.due = due
        self.socket.sendall(request)

    def answered(self) -> float | None:
        """Take what has come of the answer.

        Returns:
            How many seconds the vote took; None: there is more to come.
        """
        received = self.socket.recv(65536)
        self._answer += received
        good = self._answer.startswith(b"HTTP/1.1 200") and b'"errors"' not in self._answer
        if not received or not good:
            raise RuntimeError(f"a vote was answered with {self._answer[:300]!r}")
        if not self._answer.endswith(_ANSWERED):
            return None
        assert self.due is not None
        took, self.due, self._answer = time.perf_counter() - self.due, None, b""
        return took


class _Viewers:
    """Sockets that watch, what each was last told, and how old that was.

    Viewers whom the same votes concern share a list of when those were sent.
    """

    def __init__(self, port: int, count: int, watched: Watched) -> None:
        def said(number: int) -> Turns:
            asked = wire.live(number, watched.widget, watched.query(number), watched.selection)
            return [(wire.initialise(), b"connection_ack"), (asked, b"")]

        opened = open_sockets(port, count, wire.handshake(), said)
        self.sent_at: list[list[float]] = [[] for _ in range(watched.viewers_of)]
        self._by_fd = {each.fileno(): each for each in opened}
        self._votes = {
            each.fileno(): self.sent_at[number % watched.viewers_of]
            for number, each in enumerate(opened)
        }
        self._sampled = dict.fromkeys(list(self._by_fd)[:: max(1, count // _SAMPLED)], 0)
        """How many votes each of them has seen counted."""
        self._watching, self._others = select.epoll(), select.epoll()
        for number in self._by_fd:
            epoll = self._watching if number in self._sampled else self._others
            epoll.register(number, select.EPOLLIN)
        self._told: dict[int, bytes] = {}
        self._rest: dict[int, bytes] = {}
        self.results = 0
        self.ages: list[float] = []
        self.waits: list[float] = []
        deadline = time.monotonic() + _FIRST_SECONDS
        while len(self._told) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"{len(self._told):,} of {count:,} viewers have a first result after "
                    f"{_FIRST_SECONDS:g} s"
                )
            self.poll(0.05)
            self._receive(self._others, 0.05)
        self._before = {number: _counted(said) for number, said in self._told.items()}

    def __len__(self) -> int:
        return len(self._by_fd)

    def wake_for(self, other: select.epoll) -> None:
        """Let `poll` return when another epoll has something, too."""
        self._watching.register(other.fileno(), select.EPOLLIN)

    def poll(self, timeout_seconds: float) -> None:
        """Receive what has come to the viewers that read at once."""
        self._receive(self._watching, timeout_seconds)

    def _receive(self, epoll: select.epoll, timeout_seconds: float) -> None:
        for number, _ in epoll.poll(timeout_seconds, _AT_A_TIME):
            viewer = self._by_fd.get(number)
            if viewer is None:
                continue
            received = viewer.recv(65536)
            if not received:
                raise RuntimeError("the server closed a viewer")
            found, rest = frames(self._rest.pop(number, b"") + received)
            if rest:
                self._rest[number] = rest
            for frame in found:
                if _NEXT not in frame or b'"errors"' in frame:
                    raise RuntimeError(f"a viewer was told {frame[:300]!r}")
                self.results += 1
                self._told[number] = frame
                if number in self._sampled:
                    self._aged(number, frame)

    def _aged(self, number: int, frame: bytes) -> None:
        votes, seen = self._votes[number], self._sampled[number]
        if not votes:
            return
        counted = min(len(votes), _counted(frame) - self._before[number])
        if counted > seen:
            now = time.perf_counter()
            self.ages.append(now - votes[counted - 1])
            self.waits.append(now - votes[seen])
            self._sampled[number] = counted

    def wait_for_all(self) -> float:
        """Wait until each has a result that counts all votes.

        Returns:
            After how many seconds those that read at once had it.

        Raises:
            RuntimeError: somebody does not get it.
        """
        began = time.perf_counter()
        while not all(map(self._is_told, self._sampled)):
            self._refuse_after(began)
            self.poll(0.05)
        last = time.perf_counter() - began
        while not all(map(self._is_told, self._by_fd)):
            self._refuse_after(began)
            # What has come is received before all are looked at again.
            for _ in range(len(self._by_fd) // _AT_A_TIME + 1):
                self._receive(self._others, 0.01)
        return last

    def _is_told(self, number: int) -> bool:
        return _counted(self._told[number]) == self._before[number] + len(self._votes[number])

    def _refuse_after(self, began: float) -> None:
        if time.perf_counter() - began > _LAST_SECONDS:
            missing = sum(not self._is_told(number) for number in self._by_fd)
            raise RuntimeError(f"{missing:,} viewers were not told of all votes")

    def close(self) -> None:
        self._watching.close()
        self._others.close()
        for viewer in self._by_fd.values():
            viewer.close()


def _counted(result: bytes) -> int:
    return sum(map(int, _COUNT.findall(result)))


def _voted(
    server: Server, viewers: _Viewers, voters: dict[int, _Voter], voting: select.epoll,
    watched: Watched, before: int, rate: float, seconds: float,
) -> list[float]:  # fmt: skip
    """Vote on time for so long; return how many votes, and the figures."""
    took: list[float] = []
    sent, waiting = 0, set(voters)
    viewers.ages.clear()
    viewers.waits.clear()
    results, cpu, began = viewers.results, server.cpu_seconds(), time.perf_counter()
    own = time.process_time()
    while (elapsed := time.perf_counter() - began) < seconds or len(waiting) < len(voters):
        if elapsed > seconds + _LAST_SECONDS:
            raise RuntimeError(
                f"{len(voters) - len(waiting)} votes were not answered within {_LAST_SECONDS:g} s"
            )
        while elapsed < seconds and waiting and sent < int(elapsed * rate) + 1:
            number = before + sent
            request = wire.http_publish(watched.widget, watched.data(number))
            viewers.sent_at[number % watched.viewers_of].append(time.perf_counter())
            voters[waiting.pop()].vote(request, began + sent / rate)
            sent += 1
        for number, _ in voting.poll(0):
            if (one := voters[number].answered()) is not None:
                took.append(one)
                waiting.add(number)
        elapsed = time.perf_counter() - began
        due = sent / rate - elapsed if waiting and elapsed < seconds else _IDLE_SECONDS
        viewers.poll(max(0.0, min(_IDLE_SECONDS, due)))
    elapsed = time.perf_counter() - began
    busy = (time.process_time() - own) / elapsed
    cores = (server.cpu_seconds() - cpu) / elapsed
    last = viewers.wait_for_all()
    each = (viewers.results - results) / len(viewers) / (elapsed + last)
    figures = [
        percentile(took, 0.5), percentile(took, 0.99), percentile(viewers.ages, 0.99),
        percentile(viewers.waits, 0.99), last,
    ]  # fmt: skip
    p50, p99, age, wait, last = (1000 * one for one in figures)
    return [sent, len(took) / elapsed, p50, p99, each, age, wait, last, cores, busy]


def watched_by(
    server: Server, count: int, watched: Watched, rate: float, rounds: int, seconds: float
) -> list[float]:
    """Return the medians of `FIGURES` over some rounds.

    Args:
        server: what is measured.
        count: of viewers.
        watched: what they watch.
        rate: votes a second.
        rounds: how many.
        seconds: of each.

    Raises:
        RuntimeError: a vote was refused, or not everybody was told of all votes.
    """
    viewers = _Viewers(server.port, count, watched)
    # As many as are answered in time while the server writes to all viewers.
    voters = [_Voter(server.port) for _ in range(max(16, int(rate / 16)))]
    by_fd = {voter.socket.fileno(): voter for voter in voters}
    voting = select.epoll()
    for number in by_fd:
        voting.register(number, select.EPOLLIN)
    viewers.wake_for(voting)
    rows: list[list[float]] = []
    total = 0
    try:
        for _ in range(rounds):
            figures = _voted(server, viewers, by_fd, voting, watched, total, rate, seconds)
            total += int(figures[0])
            rows.append(figures[1:])
    finally:
        viewers.close()
        voting.close()
        for voter in voters:
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
                figures = watched_by(
                    server, count, _POLL, chosen.votes, chosen.rounds, chosen.seconds
                )
                rows.append([count, *figures])
            bar.done()
    show("One live query, one server core", ("viewers", *FIGURES), rows, chosen.json)


if __name__ == "__main__":
    main()
