"""The databases of one Postgres: each measurement has a copy of the data set to itself."""

import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import asyncpg

from benchmarks.tree import TREE

__all__ = ["Connection", "connected", "copy_of", "database", "dropped", "migrate", "schema_digest"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_MIGRATE_SECONDS: Final = 120
_COMMAND_SECONDS: Final = 600


def database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Connect, for as long as the block lasts."""
    connection: Connection = await asyncpg.connect(url, command_timeout=_COMMAND_SECONDS)
    try:
        yield connection
    finally:
        await connection.close()


async def copy_of(url: str, template: str, name: str) -> str:
    """Copy a database, in place of an earlier copy; return the copy's address.

    Args:
        url: of any other database of the server.
        template: the name of what is copied; nobody may be connected to it.
        name: of the copy.
    """
    await dropped(url, name)
    async with connected(url) as connection:
        # By files: a copy through the log takes several times as long.
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return database(url, name)


async def dropped(url: str, name: str) -> None:
    """Drop a database if there is one, whoever is connected to it."""
    async with connected(url) as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def schema_digest() -> str:
    """What tells the migrations of the measured checkout from those of others."""
    text = hashlib.sha256()
    for path in sorted((TREE / "migrations" / "versions").glob("*.py")):
        text.update(path.read_bytes())
    return text.hexdigest()[:8]


def migrate(url: str) -> None:
    """Make the tables, as the measured checkout does.

    Raises:
        RuntimeError: it cannot; says what it said.
    """
    environment: dict[str, Any] = {
        name: value for name, value in os.environ.items() if not name.startswith("WIDGETWIRE_")
    }
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "migrate"],
        cwd=TREE,
        env=environment | {"WIDGETWIRE_DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_MIGRATE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"`widgetwire migrate` failed: {done.stdout}{done.stderr}")
