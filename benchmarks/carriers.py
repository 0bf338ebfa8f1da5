"""One channel over everything that carries it: sockets, legacy sockets and streams.

    python -m benchmarks.carriers [--subscribers 1000 10000]

For each carrier: subscribed connections set up a second, what an idle one holds in the
server, and messages delivered, singly and joined (see `benchmarks.fanout`). "Of sockets" is a
carrier's share of what GraphQL sockets are delivered with as many subscribers.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.transports.graphql.streams import EventStreamFraming, Framing, MultipartFraming
from app.wire.stream import chunk
from benchmarks.conversations import Frames, over_http, over_sockets
from benchmarks.load import Delivered, in_rounds
from benchmarks.opening import GraphQLGreeting, Greeting, LegacyGreeting, StreamGreeting
from benchmarks.publishers import Publisher
from benchmarks.report import options, show, steps
from benchmarks.servers import Server, postgres, serve
from benchmarks.subscribers import Subscribers, frame_length, piece_length


@dataclass(frozen=True, slots=True)
class _Carrier:
    """How to subscribe over it, and what is received."""

    greeting: Greeting
    length: Callable[[bytearray, int], int] = frame_length
    heartbeat: bytes = b""

    def subscribe(self, port: int, count: int, widget: str) -> Subscribers:
        return Subscribers(
            port, count, widget, confirmed=False, greeting=self.greeting, length=self.length,
            heartbeat=self.heartbeat,
        )  # fmt: skip


def _stream(media_type: str, framing: Framing) -> _Carrier:
    return _Carrier(StreamGreeting(media_type), piece_length, chunk(framing.heartbeat))


_CARRIERS: Final = {
    "GraphQL sockets": _Carrier(GraphQLGreeting()),
    "legacy sockets": _Carrier(LegacyGreeting()),
    "event streams": _stream("text/event-stream", EventStreamFraming()),
    "multipart": _stream("multipart/mixed;subscriptionSpec=1.0", MultipartFraming()),
}
_PUBLISHERS: Final[dict[Frames, Callable[[int, str], list[Publisher]]]] = {
    "singly": over_http,
    "joined": over_sockets,
}
_WINDOW: Final[dict[Frames, int]] = {"singly": 4, "joined": 64}
_COLUMNS: Final = (
    "carrier",
    "subscribers",
    "set up/s",
    "KiB each",
    "frames",
    "deliveries/s",
    "CPU µs each",
    "p50 ms",
    "of sockets",
)


def _measure(
    server: Server, carrier: str, count: int, rounds: int, seconds: float
) -> tuple[float, float, dict[Frames, Delivered]]:
    """Return set-ups a second, KiB a connection, and what was delivered."""
    subscribe = _CARRIERS[carrier].subscribe
    widget = f"carried{count}"
    subscribe(server.port, 20, "warm").close()
    resident, began = server.resident_bytes(), time.perf_counter()
    subscribers = subscribe(server.port, count, widget)
    elapsed = time.perf_counter() - began
    subscribers.drain(1.0)
    resident = server.resident_bytes() - resident
    delivered: dict[Frames, Delivered] = {}
    for frames, made in _PUBLISHERS.items():
        publishers, window = made(server.port, widget), _WINDOW[frames]
        delivered[frames] = in_rounds(server, subscribers, publishers, window, rounds, seconds)
    subscribers.close()
    return count / elapsed, resident / count / 1024, delivered


def main() -> None:
    chosen = options(__doc__ or "", subscribers=[1_000])
    counts = [20] if chosen.small else chosen.subscribers
    rows: list[list[object]] = []
    with postgres() as url, steps(len(counts) * len(_CARRIERS), "carriers") as bar:
        for count in counts:
            sockets: dict[Frames, Delivered] = {}
            for carrier in _CARRIERS:
                bar.says(f"{carrier}, {count:,} subscribers")
                with serve("widgetwire", url) as server:
                    opened, resident, delivered = _measure(
                        server, carrier, count, chosen.rounds, chosen.seconds
                    )
                sockets = sockets or delivered
                for frames, one in delivered.items():
                    share = one.deliveries_per_second / sockets[frames].deliveries_per_second
                    rows.append(
                        [
                            carrier, count, opened, resident, frames, one.deliveries_per_second,
                            one.cpu_microseconds, one.p50_ms, share,
                        ]
                    )  # fmt: skip
                bar.done()
    show("One channel, one server core, by what carries it", _COLUMNS, rows, chosen.json)


if __name__ == "__main__":
    main()
