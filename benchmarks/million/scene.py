"""Where it is measured: the kept data set, a copy without indexes, and one with them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.million.data import Shape
from benchmarks.million.databases import copy_of, dropped
from benchmarks.million.searching import ask_once
from benchmarks.million.statements import StatementLog
from benchmarks.million.tuning import Tuned, by_command, by_itself, has_command
from benchmarks.servers import Server, serve

__all__ = ["Scene", "scene"]

_BARE: Final = "copy_bare"
_TUNED: Final = "copy_tuned"

_SETTINGS: Final = {
    # Searches without an index are measured too, however much they read.
    "WIDGETWIRE_SEARCH_MAX_SCAN": "0",
    # A small channel has its indexes made as a large one has.
    "WIDGETWIRE_SEARCH_INDEX_MESSAGES": "0",
}
_UNTUNED: Final = _SETTINGS | {"WIDGETWIRE_SEARCH_INDEXES": "0"}


@dataclass(frozen=True, slots=True)
class Scene:
    """Two servers of ours on one core, each on a copy of the data set of its own."""

    shape: Shape
    bare: Server
    """Without the indexes that searches ask for."""
    tuned: Server | None
    """With them; None: this checkout makes none."""
    indexes: Tuned | None
    plain_url: str
    """Of the database with the plain table."""
    log: StatementLog | None

    @property
    def best(self) -> Server:
        """With indexes, where there are any."""
        return self.tuned or self.bare


@contextmanager
def scene(
    url: str, shape: Shape, template: str, plain_url: str, kept: Path | None,
    wait_seconds: float, *, alone: bool, tell: Callable[[str], None],
) -> Iterator[Scene]:  # fmt: skip
    """Copy the data set twice, have indexes made in one, and serve both.

    Args:
        url: of any database of the Postgres.
        shape: of the data set.
        template: the name of its database.
        plain_url: see `Scene`.
        kept: the directory of an embedded Postgres; None: it is another one.
        wait_seconds: for the first index that the service makes by itself.
        alone: leave them to the service even where there is a command for them.
        tell: told what is done.
    """
    log = None if kept is None else StatementLog(kept / "postgres.log", url)
    if log is not None:
        uvloop.run(log.off())
    tell("copying the data set")
    bare_url = uvloop.run(copy_of(url, template, _BARE))
    tuned_url = uvloop.run(copy_of(url, template, _TUNED))
    try:
        with ExitStack() as servers:
            indexes = None
            if not alone and has_command():
                tell("making indexes")
                indexes = uvloop.run(by_command(tuned_url))
            tuned: Server | None = servers.enter_context(
                serve("widgetwire", tuned_url, settings=_SETTINGS, emptied=False)
            )
            assert tuned is not None
            if indexes is None:
                tell(f"waiting for indexes, {wait_seconds:g} s at the most for the first")
                search = partial(ask_once, tuned.port, shape.million)
                indexes = uvloop.run(by_itself(tuned_url, wait_seconds, search))
            if not indexes.added:
                servers.close()
                tuned, indexes = None, None
            bare = servers.enter_context(
                serve("widgetwire", bare_url, settings=_UNTUNED, emptied=False)
            )
            yield Scene(shape, bare, tuned, indexes, plain_url, log)
    finally:
        for name in (_BARE, _TUNED):
            uvloop.run(dropped(url, name))
