"""Draw docs/performance.svg from the figures that `--json` wrote; needs nothing but Python.

python -m benchmarks.fanout --json fanout.json
python -m benchmarks.latency --json latency.json
python -m benchmarks.plot fanout.json latency.json docs/performance.svg
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

_WIDTH, _HEIGHT, _LEFT, _TOP = 340, 240, 60, 40
_COLOURS = ("#1b6ac9", "#d1541f", "#777777")

__all__ = ["Chart", "Series", "drawing"]

Series: TypeAlias = tuple[str, Sequence[tuple[float, float]]]
"""A name and its points."""

Chart: TypeAlias = tuple[str, str, Sequence[Series]]
"""Its title, what is across, and its lines."""


def _axis(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def drawing(charts: Sequence[Chart], in_row: int) -> str:
    """An SVG of several charts, so many of them side by side."""
    wide, high = _WIDTH + _LEFT + 20, _TOP + _HEIGHT + 100
    drawn = []
    for number, chart in enumerate(charts):
        down, right = divmod(number, in_row)
        drawn.append(f'<g transform="translate({right * wide} {down * high})">')
        drawn += [*_chart(*chart), "</g>"]
    size = f"{min(in_row, len(charts)) * wide} {-(-len(charts) // in_row) * high}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        + "\n".join(drawn)
        + "</svg>\n"
    )


def _chart(title: str, across: str, series: Sequence[Series]) -> list[str]:
    """One chart, both axes logarithmic."""
    points = [point for _, line in series for point in line if min(point) > 0]
    (x0, x1), (y0, y1) = _axis([x for x, _ in points]), _axis([y for _, y in points])
    left = _LEFT

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (math.log10(x) - x0) / (x1 - x0) * _WIDTH,
            _TOP + _HEIGHT - (math.log10(y) - y0) / (y1 - y0) * _HEIGHT,
        )

    drawn = [f'<text x="{left}" y="22" font-weight="bold">{title}</text>']
    for power in range(y0, y1 + 1):
        _, y = place(10**x0, 10**power)
        drawn.append(f'<path d="M{left} {y:.1f}h{_WIDTH}" stroke="#ddd"/>')
        drawn.append(
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(power)}</text>'
        )
    below, middle = _TOP + _HEIGHT + 18, left + _WIDTH / 2
    for power in range(x0, x1 + 1):
        x, _ = place(10**power, 10**y0)
        drawn.append(f'<text x="{x:.1f}" y="{below}" text-anchor="middle">{_short(power)}</text>')
    drawn.append(f'<text x="{middle}" y="{below + 20}" text-anchor="middle">{across}</text>')
    for number, (name, line) in enumerate(series):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [place(x, y) for x, y in line if min(x, y) > 0]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in placed]
        key = _TOP + _HEIGHT + 58 + 16 * number
        drawn.append(f'<text x="{left}" y="{key}" fill="{colour}">{name}</text>')
    return drawn


def _short(power: int) -> str:
    return f"{10**power:g}" if power < 3 else f"{10 ** (power - 3):,}k"


def _rows(path: str) -> list[dict[str, Any]]:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    return [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]


def main(fanout: str, latency: str, target: str) -> None:
    """Draw.

    Args:
        fanout: what `benchmarks.fanout --json` wrote.
        latency: what `benchmarks.latency --json` wrote.
        target: the SVG file.
    """
    offered = _rows(fanout)

    def series(figure: str) -> list[Series]:
        return [
            (
                f"{kind}, {frames}",
                [
                    (row["subscribers"], row[figure])
                    for row in offered
                    if (row["server"], row["frames"]) == (kind, frames)
                ],
            )
            for kind, frames in (
                ("widgetwire", "singly"),
                ("widgetwire", "joined"),
                ("stock", "singly"),
            )
        ]

    rated = [row for row in _rows(latency) if row["server"] == "widgetwire"]
    rated = [row for row in rated if row["subscribers"] > 1] or rated
    by_rate: list[Series] = [
        (name, [(row["publishes/s"], row[f"{name} ms"]) for row in rated])
        for name in ("p50", "p99")
    ]
    charts: list[Chart] = [
        ("deliveries/s", "subscribers", series("deliveries/s")),
        ("p99 at full load, ms", "subscribers", series("p99 ms")),
        ("latency at a given rate, ms", "publishes/s, 1,000 subscribers", by_rate),
    ]
    Path(target).write_text(drawing(charts, len(charts)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
