"""What a feature costs: the same load on two servers side by side, with the feature and without.

    python -m benchmarks.overhead limits
    git worktree add ../before COMMIT
    BENCHMARK_BEFORE=../before python -m benchmarks.overhead metrics

What has a setting is compared by that. What has none, as what `/metrics` counts, is compared with
a checkout of a commit before it; without one it is left out, with a line that says so.
Both servers run on one core and one database, and are measured in turn, round by round: what the
machine does meanwhile touches both. What counts is the CPU time that the server takes for one
acknowledged publish, or for one delivery; "more" is the median over the rounds of the one by the
other.
"""

import os
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.conversations import over_http
from benchmarks.load import in_rounds
from benchmarks.publish import acknowledged
from benchmarks.publishers import HttpPublisher, LegacyPublisher, Publisher, SocketPublisher
from benchmarks.report import options, show, steps
from benchmarks.servers import Server, another, postgres, serve
from benchmarks.subscribers import Subscribers

_COLUMNS = ("load", "feature", "CPU µs without", "CPU µs with", "more %", "least %", "most %")
_DEPTH = 64
_BEFORE: Final = os.environ.get("BENCHMARK_BEFORE")
"""The checkout of an earlier commit."""
_NO_LIMIT: Final = "1000000"
"""A rate that no load comes to: counted, and never refused."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Settings of a server that has it, and of one that has not."""

    on: dict[str, str]
    off: dict[str, str]
    before: bool = False
    """Whether the one that has not runs from the checkout of an earlier commit."""


FEATURES: Final[dict[str, Feature]] = {
    "limits": Feature(
        on={
            f"WIDGETWIRE_{whose}_{what}_PER_SECOND": _NO_LIMIT
            for whose in ("PUBLISHER", "ADDRESS", "PROJECT")
            for what in ("PUBLISHES", "SEARCHES")
        }
        | {"WIDGETWIRE_MAX_CONNECTIONS_PER_ADDRESS": _NO_LIMIT},
        off={},
    ),
    "metrics": Feature(on={}, off={}, before=True),
}
"""What is compared; a further one is a further row here."""

_Measured = Callable[[Server, float], float]
"""Loads a server for so many seconds; returns its CPU time for each publish or delivery, in µs."""


def _publishing(publishers: Sequence[Publisher], server: Server, seconds: float) -> float:
    return acknowledged(server, publishers, seconds)[1]


def _fan_out(subscribers: Subscribers, widget: str, server: Server, seconds: float) -> float:
    publishers = over_http(server.port, widget)
    return in_rounds(server, subscribers, publishers, 4, 1, seconds).cpu_microseconds


def _loads(
    stack: ExitStack, server: Server, subscribers: int, feature: str
) -> dict[str, Callable[[], _Measured]]:
    """Return what connects each load to a server."""
    port = server.port

    def publishers(*made: Publisher) -> _Measured:
        for one in made:
            stack.callback(one.close)
        return partial(_publishing, made)

    def fan_out() -> _Measured:
        widget = f"{feature}{port}"
        readers = Subscribers(port, subscribers, widget)
        stack.callback(readers.close)
        return partial(_fan_out, readers, widget)

    return {
        "publish, HTTP": lambda: publishers(*(HttpPublisher(port, "http") for _ in range(16))),
        "publish, graphql-transport-ws": lambda: publishers(
            *(SocketPublisher(port, "socket", _DEPTH) for _ in range(16))
        ),
        "publish, legacy socket": lambda: publishers(
            *(LegacyPublisher(port, f"legacy{port}-{number}", _DEPTH) for number in range(16))
        ),
        f"fan-out to {subscribers:,}": fan_out,
    }


def _compared(
    off: Server, on: Server, made: Sequence[_Measured], rounds: int, seconds: float
) -> list[tuple[float, float]]:
    for server, load in zip((off, on), made, strict=True):
        load(server, seconds / 3)
    figures = []
    for number in range(rounds):
        # Who comes first takes turns too.
        order = [(off, made[0]), (on, made[1])]
        if number % 2:
            order.reverse()
        found = {server: load(server, seconds) for server, load in order}
        figures.append((found[off], found[on]))
    return figures


def _can_be_compared(name: str) -> bool:
    if not FEATURES[name].before or _BEFORE:
        return True
    print(f"{name} is left out: BENCHMARK_BEFORE names no checkout of a commit before it")
    return False


def main() -> None:
    chosen = options(__doc__ or "", tuple(FEATURES), subscribers=1_000)
    names = [name for name in chosen.parts or FEATURES if _can_be_compared(name)]
    subscribers = 20 if chosen.small else chosen.subscribers
    rows: list[list[object]] = []
    with postgres() as url, steps(4 * len(names), "overhead") as bar:
        for name in names:
            feature = FEATURES[name]
            with ExitStack() as stack:
                on = stack.enter_context(serve("widgetwire", url, settings=feature.on))
                tree = Path(_BEFORE).resolve() if feature.before and _BEFORE else None
                off = another(url, feature.off, tree)
                stack.callback(off.stop)
                both = [_loads(stack, server, subscribers, name) for server in (off, on)]
                for load in both[0]:
                    bar.says(f"{name}, {load}")
                    made = [loads[load]() for loads in both]
                    figures = _compared(off, on, made, chosen.rounds, chosen.seconds)
                    more = [100 * (with_it / without - 1) for without, with_it in figures]
                    columns = zip(*figures, strict=True)
                    rows.append(
                        [
                            load,
                            name,
                            *(statistics.median(column) for column in columns),
                            statistics.median(more),
                            min(more),
                            max(more),
                        ]
                    )
                    bar.done()
    show("What a feature costs, CPU time of one server core", _COLUMNS, rows, chosen.json)


if __name__ == "__main__":
    main()
