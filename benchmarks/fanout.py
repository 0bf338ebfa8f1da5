"""Fan-out: one channel, many subscribers, durable publishing; ours beside other servers.

    python -m benchmarks.fanout --rivals

Singly: few messages are undelivered at any time (16 at 100 subscribers, 4 above), published
by 16 clients over HTTP, so that most frames travel alone. Joined: published over WebSockets
without waiting, so that several messages are committed, and written to a subscriber, together.

The rivals, Mercurius and nchan, need Node and nginx: where those are missing they are left out,
with a line that says so. nchan stores nothing: its publishes are not durable.

"ours ÷ this": how many times a server's deliveries ours has, with as many subscribers and the
same frames; "by CPU": the same if each had its core to itself, by CPU time a delivery.
"""

from collections.abc import Sequence

from benchmarks.conversations import CONVERSATIONS, Frames
from benchmarks.load import Delivered, in_rounds
from benchmarks.report import options, show, steps
from benchmarks.servers import RIVALS, Kind, Server, postgres, present, serve
from benchmarks.subscribers import Subscribers

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
    "ours ÷ this",
    "by CPU",
)


def _window(frames: Frames, subscribers: int) -> int:
    if frames == "singly":
        return 16 if subscribers <= 100 else 4
    return 512 if subscribers <= 100 else 64 if subscribers <= 1_000 else 32


def _measure(server: Server, count: int, rounds: int, seconds: float) -> dict[Frames, Delivered]:
    conversation = CONVERSATIONS[server.kind]
    widget = f"fan{count}"
    subscribers = Subscribers(server.port, count, widget, greeting=conversation.greeting)
    results: dict[Frames, Delivered] = {}
    try:
        for frames, made in conversation.publishers.items():
            publishers, window = made(server.port, widget), _window(frames, count)
            results[frames] = in_rounds(server, subscribers, publishers, window, rounds, seconds)
    finally:
        subscribers.close()
    return results


def main() -> None:
    chosen = options(__doc__ or "", subscribers=[100, 1_000, 10_000], stock=True, rivals=False)
    counts = [20] if chosen.small else chosen.subscribers
    kinds: list[Kind] = ["widgetwire", "stock"] if chosen.stock else ["widgetwire"]
    if chosen.rivals or chosen.small:
        kinds += present(RIVALS)
    found: dict[tuple[Kind, int], dict[Frames, Delivered]] = {}
    with postgres() as url, steps(len(counts) * len(kinds), "fan-out") as bar:
        for count in counts:
            # Some take seconds for one message to ten thousand.
            seconds = 1.0 if chosen.small else max(chosen.seconds, count / 1_000)
            for kind in kinds:
                bar.says(f"{kind}, {count:,} subscribers")
                with serve(kind, url) as server:
                    found[kind, count] = _measure(server, count, chosen.rounds, seconds)
                bar.done()
    lengths = {round(one.frame_bytes) for each in found.values() for one in each.values()}
    title = f"Fan-out, one server core, frames of {_span(lengths)} bytes"
    if "nchan" in kinds:
        title += "; nchan stores nothing"
    show(title, _COLUMNS, _rows(found), chosen.json)


def _span(values: set[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def _rows(found: dict[tuple[Kind, int], dict[Frames, Delivered]]) -> Sequence[list[object]]:
    rows: list[list[object]] = []
    for (kind, count), results in found.items():
        for frames, one in results.items():
            ours = found["widgetwire", count][frames]
            rows.append(
                [
                    kind, count, frames, _window(frames, count), one.deliveries_per_second,
                    one.cpu_microseconds, one.publishes_per_second, one.p50_ms, one.p99_ms,
                    one.load_busy, ours.deliveries_per_second / one.deliveries_per_second,
                    one.cpu_microseconds / ours.cpu_microseconds,
                ]
            )  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
