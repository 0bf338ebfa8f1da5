"""Subscribed connections set up a second; ours beside the stock server.

    python -m benchmarks.connect

Each is a TCP connection, a WebSocket handshake, `connection_init` with its answer, and a
subscription. 64 are under way at a time; the last of each 64 also asks a query after it,
whose answer tells that the server has come so far.
"""

import statistics
import time

from benchmarks.report import options, show, steps
from benchmarks.servers import Kind, Server, postgres, serve
from benchmarks.subscribers import Subscribers


def _run(server: Server, count: int) -> tuple[float, float, float]:
    cpu, resident, began = server.cpu_seconds(), server.resident_bytes(), time.perf_counter()
    subscribers = Subscribers(server.port, count, "connect", confirmed=False)
    elapsed = time.perf_counter() - began
    cpu = server.cpu_seconds() - cpu
    resident = server.resident_bytes() - resident
    subscribers.close()
    return count / elapsed, cpu / count * 1e6, resident / count / 1024


def main() -> None:
    chosen = options(__doc__ or "", connections=5_000, stock=True)
    count = 200 if chosen.small else chosen.connections
    kinds: list[Kind] = ["widgetwire", "stock"] if chosen.stock else ["widgetwire"]
    found: dict[Kind, tuple[float, ...]] = {}
    with postgres() as url, steps(len(kinds) * chosen.rounds, "connect") as bar:
        for kind in kinds:
            results = []
            for _ in range(chosen.rounds):
                with serve(kind, url) as server:
                    _run(server, 100)
                    results.append(_run(server, count))
                bar.done()
            found[kind] = tuple(statistics.median(one) for one in zip(*results, strict=True))
    rows = [
        [
            kind,
            count,
            figures[0],
            figures[1],
            figures[0] / found["stock"][0] if "stock" in found else "-",
        ]
        for kind, figures in found.items()
    ]
    columns = ("server", "connections", "set up/s", "CPU µs each", "times stock")
    show("Subscribed connections set up, one server core", columns, rows, chosen.json)


if __name__ == "__main__":
    main()
