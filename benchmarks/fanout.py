"""Fan-out: one channel, many subscribers, durable publishing; ours beside the stock server.

    python -m benchmarks.fanout

Singly: few messages are undelivered at any time (16 at 100 subscribers, 4 above), published
by 16 clients over HTTP, so that most frames travel alone. Joined: published over WebSockets
without waiting, so that several messages are committed, and written to a subscriber, together.
"""

from collections.abc import Sequence

from benchmarks.load import Delivered, median, warm_up, windowed
from benchmarks.publishers import HttpPublisher, Publisher, SocketPublisher
from benchmarks.report import options, show, steps
from benchmarks.servers import Kind, Server, postgres, serve
from benchmarks.subscribers import Subscribers

_CLIENTS = 16
_COLUMNS = (
    "server",
    "subscribers",
    "frames",
    "window",
    "deliveries/s",
    "CPU µs each",
    "publishes/s",
    "p50 ms",
    "p99 ms",
    "load busy",
    "times stock",
)


def _window(frames: str, subscribers: int) -> int:
    if frames == "singly":
        return 16 if subscribers <= 100 else 4
    return 512 if subscribers <= 100 else 64 if subscribers <= 1_000 else 32


def _measure(
    server: Server, count: int, frames: Sequence[str], rounds: int, seconds: float
) -> dict[str, Delivered]:
    widget = f"fan{count}"
    subscribers = Subscribers(server.port, count, widget)
    results: dict[str, Delivered] = {}
    try:
        for name in frames:
            publishers: list[Publisher] = [
                HttpPublisher(server.port, widget)
                if name == "singly"
                else SocketPublisher(server.port, widget, 64)
                for _ in range(_CLIENTS if name == "singly" else 8)
            ]
            warm_up(subscribers, publishers)
            window = _window(name, count)
            windowed(server, subscribers, publishers, window, seconds / 3)
            results[name] = median(
                [windowed(server, subscribers, publishers, window, seconds) for _ in range(rounds)]
            )
            for publisher in publishers:
                subscribers.epoll.unregister(publisher.fileno())
                publisher.close()
    finally:
        subscribers.close()
    return results


def main() -> None:
    chosen = options(__doc__ or "", subscribers=[100, 1_000, 10_000], stock=True)
    counts = [20, 100] if chosen.small else chosen.subscribers
    kinds: list[Kind] = ["widgetwire", "stock"] if chosen.stock else ["widgetwire"]
    found: dict[tuple[Kind, int], dict[str, Delivered]] = {}
    with postgres() as url, steps(len(counts) * len(kinds), "fan-out") as bar:
        for count in counts:
            for kind in kinds:
                bar.says(f"{kind}, {count:,} subscribers")
                frames = ("singly", "joined") if kind == "widgetwire" else ("singly",)
                # The stock server takes seconds for one message to ten thousand.
                seconds = max(chosen.seconds, count / 1_000) if kind == "stock" else chosen.seconds
                seconds = 1.0 if chosen.small else seconds
                with serve(kind, url) as server:
                    found[kind, count] = _measure(server, count, frames, chosen.rounds, seconds)
                bar.done()
    rows: list[list[object]] = []
    for (kind, count), results in found.items():
        for name, one in results.items():
            stock = found.get(("stock", count), {}).get("singly")
            ratio = one.deliveries_per_second / stock.deliveries_per_second if stock else "-"
            rows.append(
                [
                    kind, count, name, _window(name, count), one.deliveries_per_second,
                    one.cpu_microseconds, one.publishes_per_second, one.p50_ms, one.p99_ms,
                    one.load_busy, ratio,
                ]
            )  # fmt: skip
    show("Fan-out, one server core", _COLUMNS, rows, chosen.json)


if __name__ == "__main__":
    main()
