"""Search time against the size of the channel, without indexes and with them; and its plot."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.million.cases import SIZED
from benchmarks.million.scene import Scene
from benchmarks.million.searching import asked
from benchmarks.plot import Chart, Series, drawing

__all__ = ["COLUMNS", "draw", "sizes"]

COLUMNS: Final = ("search", "messages", "no index p50 ms", "p50 ms")

_FIRST_PROBE: Final = 1_000_000
"""Later than those of the table of searches."""


def sizes(scene: Scene, seconds: float, says: Callable[[str], None]) -> list[list[object]]:
    """Rows of `COLUMNS`, for channels of 1,000 messages and ten times as many each time."""
    rows: list[list[object]] = []
    for case in SIZED:
        for filled in scene.shape.sizes:
            says(f"{case.title}, {filled.messages:,} messages")
            bare, tuned = (
                asked(server.port, case, filled, _FIRST_PROBE, seconds).p(0.5) if server else "-"
                for server in (scene.bare, scene.tuned)
            )
            rows.append([case.title, filled.messages, bare, tuned])
    return rows


def draw(rows: Sequence[Sequence[object]], path: Path) -> None:
    """Draw a chart for each search.

    Args:
        rows: what `sizes` returned.
        path: of the SVG file.
    """
    charts: list[Chart] = [
        (f"{case.title}, p50 ms", "messages of the channel", _series(case.title, rows))
        for case in SIZED
    ]
    path.write_text(drawing(charts, 2), encoding="utf-8")


def _series(title: str, rows: Sequence[Sequence[object]]) -> list[Series]:
    found: list[Series] = []
    for name, column in (("without an index of its own", 2), ("with it", 3)):
        points = [
            (float(str(row[1])), took)
            for row in rows
            if row[0] == title and isinstance(took := row[column], float)
        ]
        if points:
            found.append((name, points))
    return found
