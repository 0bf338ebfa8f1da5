"""The indexes that the service makes for what is searched: by its command, or by itself."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.million.cases import INDEXES
from benchmarks.million.databases import connected
from benchmarks.tree import TREE

__all__ = ["Tuned", "by_command", "by_itself", "has_command"]

_COMMAND: Final = (sys.executable, "-m", "app.cli", "indexes")
_HELP_SECONDS: Final = 30
_ADD_SECONDS: Final = 900
_QUIET_SECONDS: Final = 25.0
"""Between two builds the service may look around for ten seconds."""
_SIZES: Final = """
    SELECT c.relname AS name, pg_relation_size(c.oid) AS bytes
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = 'messages'::regclass AND i.indisvalid
"""
_UNDER_WAY: Final = """
    SELECT EXISTS (
        SELECT FROM pg_index WHERE indrelid = 'messages'::regclass AND NOT indisvalid
    )
"""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of it."""

    how: str
    seconds: float
    added: dict[str, int]
    """The new indexes' names and bytes."""


async def _sizes(url: str) -> dict[str, int]:
    """The indexes of `messages` that are complete, and their bytes."""
    async with connected(url) as connection:
        return {row["name"]: row["bytes"] for row in await connection.fetch(_SIZES)}


def has_command() -> bool:
    """Whether the measured checkout has `widgetwire indexes`."""
    done = subprocess.run(
        [*_COMMAND, "--help"],
        cwd=TREE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_HELP_SECONDS,
        check=False,
    )
    return done.returncode == 0


async def by_command(url: str) -> Tuned:
    """Have the command add the indexes that the searches ask for.

    Raises:
        RuntimeError: it fails; says what it said.
    """
    before, began = await _sizes(url), time.monotonic()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WIDGETWIRE_")}
    for paths in INDEXES:
        done = subprocess.run(  # noqa: ASYNC221 - nothing else runs on this loop
            [*_COMMAND, "add", *paths],
            cwd=TREE,
            env=environment | {"WIDGETWIRE_DATABASE_URL": url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ADD_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"`widgetwire indexes add` failed: {done.stdout}{done.stderr}")
    return await _came(url, before, "widgetwire indexes add", began)


async def by_itself(url: str, wait_seconds: float, search: Callable[[], None]) -> Tuned:
    """Search until the service has made indexes and makes no more.

    Args:
        url: of its database.
        wait_seconds: for the first of them; what has come until then is what there is.
        search: ask what the indexes are for.
    """
    before, began = await _sizes(url), time.monotonic()
    seen, seen_at = before, began
    async with connected(url) as connection:
        while (now := time.monotonic()) - began < (
            wait_seconds if seen == before else _ADD_SECONDS
        ):
            search()
            found = await _sizes(url)
            if found.keys() != seen.keys() or await connection.fetchval(_UNDER_WAY):
                seen, seen_at = found, now
            elif seen.keys() != before.keys() and now - seen_at > _QUIET_SECONDS:
                break
    came = await _came(url, before, "by itself", began)
    return Tuned(came.how, seen_at - began, came.added)


async def _came(url: str, before: dict[str, int], how: str, began: float) -> Tuned:
    seconds = time.monotonic() - began
    after = await _sizes(url)
    return Tuned(how, seconds, {name: size for name, size in after.items() if name not in before})
