"""The statements alone: what Postgres says that it took for what a server asked of it.

Read from its log, so that it holds whatever statements the measured server makes.
"""

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from benchmarks.million.databases import Connection, connected

__all__ = ["StatementLog", "milliseconds"]

_ENTRY: Final = re.compile(
    r"^\S+ \S+ \S+ \[\d+\] LOG:  duration: ([\d.]+) ms  (?:parse|bind|execute|statement)\b"
    r"((?:.*)(?:\n\t.*)*)",
    re.MULTILINE,
)
_TABLES: Final = re.compile(r"\b(?:messages|channels)\b")
_SETTLE_SECONDS: Final = 5.0


def milliseconds(log: str) -> float | None:
    """The sum of all durations in a piece of the log that are of our tables; None: of none."""
    found = [float(took) for took, text in _ENTRY.findall(log) if _TABLES.search(text)]
    return sum(found) if found else None


class StatementLog:
    """The log of an embedded Postgres that is told to write down durations.

    Args:
        path: of the log.
        url: of any database of the server.
    """

    def __init__(self, path: Path, url: str) -> None:
        self._path, self._url = path, url

    @asynccontextmanager
    async def on(self) -> AsyncIterator[None]:
        """Have every duration written, for as long as the block lasts."""
        async with connected(self._url) as connection:
            try:
                await connection.execute("ALTER SYSTEM SET log_min_duration_statement = 0")
                await connection.execute("SELECT pg_reload_conf()")
                size, end = self._path.stat().st_size, time.monotonic() + _SETTLE_SECONDS
                # Each backend takes it over between two statements, this one too.
                while self._path.stat().st_size == size and time.monotonic() < end:
                    await connection.execute("SELECT")
                yield
            finally:
                await _off(connection)

    async def off(self) -> None:
        """Have none written: a run that was killed may have left it on."""
        async with connected(self._url) as connection:
            await _off(connection)

    def of(self, ask: Callable[[], object]) -> float | None:
        """Ask something, and return how many milliseconds Postgres worked for it; None: not."""
        with self._path.open("rb") as log:
            log.seek(0, 2)
            ask()
            return milliseconds(log.read().decode(errors="replace"))


async def _off(connection: Connection) -> None:
    await connection.execute("ALTER SYSTEM RESET log_min_duration_statement")
    await connection.execute("SELECT pg_reload_conf()")
