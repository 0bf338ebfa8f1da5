"""How far the making of the data set has come: a bar, or lines where nobody watches one."""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["Loading"]

_LINE_SECONDS: Final = 5.0


class Loading:
    """Rows stored, rows a second, and the time left.

    Args:
        what: is made.
        rows: all that will be stored.
    """

    def __init__(self, what: str, rows: int) -> None:
        self._what, self._rows, self._stored = what, rows, 0
        self._began = self._said = time.monotonic()
        self._bar: Progress | None = None
        if Console().is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,} of {task.total:,} messages, {task.fields[rate]}/s"),
                TimeRemainingColumn(),
            )
            self._task = self._bar.add_task(what, total=rows, rate="0")

    def advance(self, rows: int) -> None:
        """So many more are stored."""
        self._stored += rows
        now = time.monotonic()
        rate = self._stored / max(0.001, now - self._began)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._stored, rate=f"{rate:,.0f}")
        elif now - self._said > _LINE_SECONDS or self._stored == self._rows:
            self._said = now
            left = (self._rows - self._stored) / rate
            print(
                f"{self._what}: {self._stored:,} of {self._rows:,} messages, "
                f"{rate:,.0f}/s, {left:.0f} s left",
                flush=True,
            )

    def says(self, what: str) -> None:
        """Name what is done after the last row."""
        if self._bar is not None:
            self._bar.update(self._task, description=f"{self._what}: {what}")
        else:
            print(f"{self._what}: {what}", flush=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
