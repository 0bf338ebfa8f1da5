"""Durable publishes acknowledged a second, over each transport; ours beside the stock server.

    python -m benchmarks.publish

Every acknowledged publish is one committed row. HTTP: mutations over keep-alive connections,
one under way on each. Sockets: 16 connections, 64 publishes under way on each. The legacy
socket is sent every message of its channel too, its own included.
"""

import select
import statistics
import time
from collections.abc import Callable, Sequence

from benchmarks.publishers import HttpPublisher, LegacyPublisher, Publisher, SocketPublisher
from benchmarks.report import options, show, steps
from benchmarks.servers import Kind, Server, postgres, serve

__all__ = ["acknowledged"]

_DEPTH = 64
_COLUMNS = ("server", "transport", "clients", "acked/s", "CPU µs each", "core busy", "times stock")


def acknowledged(
    server: Server, publishers: Sequence[Publisher], seconds: float
) -> tuple[float, ...]:
    """Publish as fast as answers come.

    Returns:
        Acknowledged a second, the server's CPU time for each in microseconds, and the share
        of the measured time that it was busy.
    """
    by_fd = {one.fileno(): one for one in publishers}
    epoll = select.epoll()
    for number, publisher in by_fd.items():
        epoll.register(number, select.EPOLLIN)
        if room := publisher.room():
            publisher.send(room)
    cpu, began, acked = server.cpu_seconds(), time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        for number, _ in epoll.poll(0.2):
            publisher = by_fd[number]
            if count := publisher.receive():
                acked += count
                publisher.send(count)
    cpu = server.cpu_seconds() - cpu
    while any(one.busy for one in publishers):
        for number, _ in epoll.poll(0.2):
            by_fd[number].receive()
    epoll.close()
    return acked / elapsed, cpu / max(1, acked) * 1e6, cpu / elapsed


def _cases(port: int) -> dict[tuple[str, int], Callable[[int], Publisher]]:
    return {
        ("HTTP", 16): lambda _: HttpPublisher(port, "http"),
        ("HTTP", 128): lambda _: HttpPublisher(port, "http"),
        ("graphql-transport-ws", 16): lambda _: SocketPublisher(port, "socket", _DEPTH),
        ("legacy socket", 16): lambda number: LegacyPublisher(port, f"legacy{number}", _DEPTH),
    }


def main() -> None:
    chosen = options(__doc__ or "", stock=True)
    kinds: list[Kind] = ["widgetwire", "stock"] if chosen.stock else ["widgetwire"]
    found: dict[tuple[str, int, Kind], tuple[float, ...]] = {}
    with postgres() as url, steps(4 * len(kinds), "publish") as bar:
        for kind in kinds:
            with serve(kind, url) as server:
                for (transport, clients), made in _cases(server.port).items():
                    bar.says(f"{kind}, {transport}, {clients} clients")
                    if kind == "widgetwire" or transport != "legacy socket":
                        publishers = [made(number) for number in range(clients)]
                        acknowledged(server, publishers, chosen.seconds / 3)
                        results = [
                            acknowledged(server, publishers, chosen.seconds)
                            for _ in range(chosen.rounds)
                        ]
                        found[transport, clients, kind] = tuple(
                            statistics.median(figures) for figures in zip(*results, strict=True)
                        )
                        for publisher in publishers:
                            publisher.close()
                    bar.done()
    rows = []
    for (transport, clients, kind), figures in found.items():
        stock = found.get((transport, clients, "stock"))
        ratio = figures[0] / stock[0] if stock and stock[0] else "-"
        rows.append([kind, transport, clients, *figures, ratio])
    show("Durable publishes, one server core", _COLUMNS, rows, chosen.json)


if __name__ == "__main__":
    main()
