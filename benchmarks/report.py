"""Progress while it runs, a table at the end, and the figures as JSON for the plot."""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.machine import describe, raise_file_limit
from benchmarks.tree import commit

__all__ = ["Steps", "options", "show", "steps"]


class Steps:
    """A bar that advances a step at a time."""

    def __init__(self, progress: Progress, total: int, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def says(self, what: str) -> None:
        """Name what is being done."""
        self._progress.update(self._task, description=what)

    def done(self, count: int = 1) -> None:
        """Advance."""
        self._progress.advance(self._task, count)


@contextmanager
def steps(total: int, what: str) -> Iterator[Steps]:
    """Show a progress bar of `total` steps."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), transient=True) as progress:
        yield Steps(progress, total, what)


def options(description: str, parts: Sequence[str] = (), **more: Any) -> argparse.Namespace:
    """Read the command line: `--small`, `--rounds`, `--seconds`, `--json`, and `more`.

    Args:
        description: the module's docstring; its first line is shown.
        parts: what may be named to run only that, as `parts`.
        more: default of each further option; a list takes several values, and of a type
            the option has none.
    """
    raise_file_limit()
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="tiny: prove that it works")
    parser.add_argument("--rounds", type=int, default=3, help="the median is shown")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    if parts:
        parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(parts))
    for name, default in more.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(default, type):
            parser.add_argument(flag, type=default)
        elif isinstance(default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=default)
        elif isinstance(default, list):
            parser.add_argument(flag, type=type(default[0]), nargs="*", default=default)
        else:
            parser.add_argument(flag, type=type(default), default=default)
    chosen = parser.parse_args()
    if unknown := set(getattr(chosen, "parts", ())) - set(parts):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; parts: {', '.join(parts)}")
    if chosen.small:
        chosen.rounds, chosen.seconds = 1, 0.3
    return chosen


def show(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], to: Path | None
) -> None:
    """Print a table, and write it as JSON where that is asked for."""
    table = Table(title=title, caption=" · ".join(filter(None, (commit(), describe()))))
    for number, column in enumerate(columns):
        first = number == 0
        table.add_column(column, justify="left" if first else "right", no_wrap=first)
    for row in rows:
        table.add_row(*map(_cell, row))
    width = None if "COLUMNS" in os.environ or Console().is_terminal else 132
    Console(width=width).print(table)
    if to is not None:
        content = {
            "title": title,
            "commit": commit(),
            "machine": describe(),
            "columns": columns,
            "rows": rows,
        }
        to.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return (
            f"{value:,.0f}" if value >= 1000 else f"{value:,.3g}" if value < 10 else f"{value:,.1f}"
        )
    return f"{value:,}" if isinstance(value, int) else str(value)
