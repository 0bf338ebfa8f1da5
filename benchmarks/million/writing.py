"""What indexes cost publishing: rounds in turn without them and with them."""

import statistics
from typing import Final

from benchmarks.million.scene import Scene
from benchmarks.publish import acknowledged
from benchmarks.publishers import SocketPublisher

__all__ = ["COLUMNS", "publishing"]

COLUMNS: Final = ("indexes", "acked/s", "CPU µs each", "core busy", "of without")

_CLIENTS: Final = 16
_DEPTH: Final = 64


def publishing(scene: Scene, rounds: int, seconds: float) -> list[list[object]]:
    """Rows of how fast publishes over sockets are acknowledged."""
    servers = {"none": scene.bare}
    if scene.tuned is not None and scene.indexes is not None:
        servers[str(len(scene.indexes.added))] = scene.tuned
    publishers = {
        name: [SocketPublisher(server.port, "written", _DEPTH, _data) for _ in range(_CLIENTS)]
        for name, server in servers.items()
    }
    results: dict[str, list[tuple[float, ...]]] = {name: [] for name in servers}
    try:
        for round_ in range(-1, rounds):
            for name, server in servers.items():
                took = seconds / 3 if round_ < 0 else seconds
                figures = acknowledged(server, publishers[name], took)
                if round_ >= 0:
                    results[name].append(figures)
    finally:
        for several in publishers.values():
            for one in several:
                one.close()
    rows: list[list[object]] = []
    for name, found in results.items():
        figures = tuple(statistics.median(one) for one in zip(*found, strict=True))
        rows.append([name, *figures, figures[0] / rows[0][1] if rows else "-"])  # type: ignore[operator]
    return rows


def _data(number: int) -> dict[str, object]:
    return {
        "text": "what people say " * 6,
        "user": f"u{number * 373 % 50_000}",
        "room": f"r{number * 7 % 1_000}",
        "score": number * 7_919 % 100_001,
        "liked": number % 3 == 0,
        "tags": ["home"],
    }
