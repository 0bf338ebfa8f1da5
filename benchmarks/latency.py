"""From publish to arrival at given rates; ours beside the stock server.

    python -m benchmarks.latency

A publish is due at fixed times, sent over HTTP, committed, and timed until a subscriber has
it; a publish that is sent late counts from when it was due.
"""

from benchmarks.load import Delivered, at_rate, median, warm_up
from benchmarks.publishers import HttpPublisher
from benchmarks.report import options, show, steps
from benchmarks.servers import Kind, postgres, serve
from benchmarks.subscribers import Subscribers

_CASES = ((1, 100.0), (1_000, 2.1), (1_000, 20.0), (1_000, 50.0), (1_000, 100.0))
"""Subscribers, and publishes a second."""
_STOCK_CASES = _CASES[:2]
_COLUMNS = (
    "server", "subscribers", "publishes/s", "deliveries/s", "p50 ms", "p99 ms", "CPU µs each",
)  # fmt: skip


def main() -> None:
    chosen = options(__doc__ or "", stock=True)
    found: dict[tuple[Kind, int, float], Delivered] = {}
    cases: list[tuple[Kind, int, float]] = [("widgetwire", *case) for case in _CASES]
    if chosen.stock:
        cases += [("stock", *case) for case in _STOCK_CASES]
    if chosen.small:
        cases = [("widgetwire", 1, 50.0), ("widgetwire", 50, 20.0)]
    with postgres() as url, steps(len(cases), "latency") as bar:
        for kind, count, rate in cases:
            bar.says(f"{kind}, {count:,} subscribers, {rate:g} publishes/s")
            with serve(kind, url) as server:
                subscribers = Subscribers(server.port, count, "latency")
                publishers = [HttpPublisher(server.port, "latency") for _ in range(16)]
                warm_up(subscribers, publishers)
                # Seldom is often enough only if it is watched for longer.
                seconds = max(chosen.seconds, 20 / rate)
                at_rate(server, subscribers, publishers, rate, seconds / 3)
                found[kind, count, rate] = median(
                    [
                        at_rate(server, subscribers, publishers, rate, seconds)
                        for _ in range(chosen.rounds)
                    ]
                )
                for publisher in publishers:
                    publisher.close()
                subscribers.close()
            bar.done()
    rows = [
        [
            kind, count, rate, one.deliveries_per_second, one.p50_ms, one.p99_ms,
            one.cpu_microseconds,
        ]
        for (kind, count, rate), one in found.items()
    ]  # fmt: skip
    show("Publish to arrival, durable", _COLUMNS, rows, chosen.json)


if __name__ == "__main__":
    main()
