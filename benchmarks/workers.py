"""Two workers on two cores beside one worker.

    python -m benchmarks.workers

Where the machine has more cores than workers, the rates tell. Where it has not, the load and
Postgres take their share of the same cores: then capacity tells, the deliveries of each
worker by the CPU time it used for them, as if each worker had its core to itself.
"""

from benchmarks.load import Delivered, in_rounds
from benchmarks.publishers import HttpPublisher
from benchmarks.report import options, show, steps
from benchmarks.servers import postgres, serve
from benchmarks.subscribers import Subscribers

_WINDOW = 64
_REST_SECONDS = 0.01
"""The load shares the workers' cores: it looks seldom, and reads much at once."""


def main() -> None:
    chosen = options(__doc__ or "", subscribers=1_000, workers=2)
    count = 50 if chosen.small else chosen.subscribers
    found: dict[int, Delivered] = {}
    with postgres() as url, steps(2, "workers") as bar:
        for workers in (1, chosen.workers):
            bar.says(f"{workers} workers")
            with serve("widgetwire", url, workers) as server:
                subscribers = Subscribers(server.port, count, "workers")
                publishers = [HttpPublisher(server.port, "workers") for _ in range(16)]
                found[workers] = in_rounds(
                    server, subscribers, publishers, _WINDOW, chosen.rounds, chosen.seconds,
                    _REST_SECONDS,
                )  # fmt: skip
                subscribers.close()
            bar.done()
    one = found[1]
    rows = [
        [
            workers,
            result.deliveries_per_second,
            result.deliveries_per_second / one.deliveries_per_second,
            result.cpu_microseconds,
            result.capacity_per_second,
            result.capacity_per_second / one.capacity_per_second,
        ]
        for workers, result in found.items()
    ]
    columns = ("workers", "deliveries/s", "times one", "CPU µs each", "capacity/s", "times one")
    show(f"Workers, {count:,} subscribers of one channel", columns, rows, chosen.json)


if __name__ == "__main__":
    main()
