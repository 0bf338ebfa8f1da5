"""A channel of a million messages: what searching, watching and writing it takes.

    python -m benchmarks.million make [--ten-million]
    python -m benchmarks.million --all [--plot docs/search.svg] [--json FILE]
    python -m benchmarks.million search poll

Without a part: all of them. Parts: search, pages, publishing, poll, different, sizes; each
writes a file of its own beside the one that `--json` names.

The data set is made once and kept (`--data`); each run measures copies of it. Ours has one
core, Postgres and the load the other. Rivals in the same run: a plain table with the obvious
indexes, asked by asyncpg without any service; and Mercurius, where there is Node.
"""

import argparse
import fcntl
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvloop
from platformdirs import user_cache_dir

from benchmarks.million import tables
from benchmarks.million.data import Shape
from benchmarks.million.databases import database
from benchmarks.million.make import made, made_plain
from benchmarks.million.scene import Scene, scene
from benchmarks.million.sizes import draw
from benchmarks.million.tables import Table, Tell
from benchmarks.report import Steps, options, show, steps
from benchmarks.servers import postgres

_PARTS: Final[dict[str, Callable[[Scene, argparse.Namespace, Tell], Table]]] = {
    "search": tables.search,
    "pages": tables.pages,
    "publishing": tables.publishing,
    "poll": tables.poll,
    "different": tables.different,
    "sizes": tables.sizes,
}
_LEAST_ROWS: Final = 2_000
"""Ranges of a thousand are asked for."""
_TEN_MILLION: Final = Shape(1_000_000, 999, 9_009)
_SMALL: Final = Shape(20_000, 5, 100)


def _shape(chosen: argparse.Namespace) -> Shape:
    if chosen.small:
        return _SMALL
    return _TEN_MILLION if chosen.ten_million else Shape(chosen.rows, chosen.channels, chosen.each)


@contextmanager
def _directory(chosen: argparse.Namespace) -> Iterator[Path]:
    """Where the data set is kept, for this run alone; of a small one nothing is kept."""
    if chosen.small:
        with tempfile.TemporaryDirectory(prefix="widgetwire-million-") as directory:
            yield Path(directory)
        return
    kept: Path = chosen.data or Path(user_cache_dir("widgetwire", appauthor=False)) / "million"
    kept.mkdir(parents=True, exist_ok=True)
    with (kept / "run.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another run uses the data set in {kept}; wait for it, or use --data")
        yield kept


def _measured(
    measured: Scene, names: Sequence[str], chosen: argparse.Namespace, bar: Steps
) -> list[str]:
    """Run some parts and show their tables; return the names of those that failed."""
    failed = []
    for name in names:

        def tell(what: str, name: str = name) -> None:
            bar.says(f"{name}: {what}")

        try:
            table = _PARTS[name](measured, chosen, tell)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        else:
            to: Path | None = chosen.json and chosen.json.with_stem(f"{chosen.json.stem}-{name}")
            show(table.title, table.columns, table.rows, to)
            if name == "sizes" and chosen.plot:
                draw(table.rows, chosen.plot)
        bar.done()
    return failed


def main() -> None:
    # So that servers and databases end with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = options(
        __doc__ or "", ("make", *_PARTS), all=False, data=Path, rows=1_000_000, channels=100,
        each=1_000, ten_million=False, rivals=True, viewers=10_000, by_itself=False, wait=60.0,
        plot=Path,
    )  # fmt: skip
    if chosen.small:
        chosen.rivals, chosen.viewers, chosen.wait, chosen.seconds = False, 20, 0.0, 0.1
    names = [name for name in _PARTS if chosen.all or not chosen.parts or name in chosen.parts]
    shape = _shape(chosen)
    if shape.rows < _LEAST_ROWS:
        sys.exit(f"--rows is {shape.rows:,}; at least {_LEAST_ROWS:,} are needed")
    elsewhere = "WIDGETWIRE_DATABASE_URL" in os.environ
    with _directory(chosen) as kept, postgres(kept) as url:
        template = uvloop.run(made(url, shape))
        plain = database(url, uvloop.run(made_plain(url, shape)))
        if not names:
            return
        with (
            steps(len(names) + 1, "million") as bar,
            scene(
                url,
                shape,
                template,
                plain,
                None if elsewhere else kept,
                chosen.wait,
                alone=chosen.by_itself,
                tell=bar.says,
            ) as measured,
        ):
            bar.done()
            if measured.indexes is not None:
                table = tables.indexes(measured.indexes)
                show(table.title, table.columns, table.rows, None)
            failed = _measured(measured, names, chosen, bar)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
