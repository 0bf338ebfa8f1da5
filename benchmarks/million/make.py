"""Making the data set: once, into databases that are kept."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from benchmarks.million.data import COLUMNS, Filled, Shape, copied_text
from benchmarks.million.databases import (
    Connection,
    connected,
    database,
    migrate,
    schema_digest,
)
from benchmarks.million.plain import INDEXES, TABLE
from benchmarks.million.progress import Loading

__all__ = ["fill", "made", "made_plain"]

_COPIED_ROWS: Final = 50_000
_PIECE_ROWS: Final = 2_000
_MAKING: Final = "shape_making"


async def made(url: str, shape: Shape) -> str:
    """Make the data set unless it is there; return the name of its database.

    The tables are those of the measured checkout's migrations. It has its name only when it
    is complete.

    Args:
        url: any database of the server.
        shape: how much of it.
    """

    async def tables(_connection: Connection) -> None:
        migrate(database(url, _MAKING))

    async def load(connection: Connection, loading: Loading) -> None:
        for filled in shape.filled:
            await fill(connection, filled, loading.advance)
        loading.says("vacuuming")
        await connection.execute("VACUUM (ANALYZE) messages")
        await connection.execute("VACUUM (ANALYZE) channels")

    name = f"{shape.name}_{schema_digest()}"
    await _once(url, name, f"{shape.name}_", shape.filled, tables, load)
    return name


async def made_plain(url: str, shape: Shape) -> str:
    """Make the plain table with the same messages unless it is there; return its database."""

    async def tables(connection: Connection) -> None:
        await connection.execute(TABLE)

    async def load(connection: Connection, loading: Loading) -> None:
        for filled in shape.filled:
            await _copy(connection, "plain_message", filled, loading.advance)
        loading.says("its indexes")
        for index in INDEXES:
            await connection.execute(index)
        await connection.execute("VACUUM (ANALYZE) plain_message")

    name = f"plain_{shape.name}"
    await _once(url, name, f"{name}_", shape.filled, tables, load)
    return name


async def fill(connection: Connection, filled: Filled, tick: Callable[[int], None]) -> None:
    """Store a channel's messages and its place, as if they had been published.

    Args:
        connection: to a migrated database.
        filled: the channel, of which nothing is stored.
        tick: told how many more are stored.
    """
    await _copy(connection, "messages", filled, tick)
    place = {
        "channel": filled.key,
        "head": filled.messages,
        "last_created": filled.created(filled.messages),
    }
    there = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'channels'"
    )
    if "stored" in {row["column_name"] for row in there}:
        place["stored"] = filled.messages
    names, values = ", ".join(place), ", ".join(f"${n + 1}" for n in range(len(place)))
    changes = ", ".join(f"{name} = excluded.{name}" for name in place)
    await connection.execute(
        f"INSERT INTO channels ({names}) VALUES ({values}) "
        f"ON CONFLICT (channel) DO UPDATE SET {changes}",
        *place.values(),
    )


async def _copy(
    connection: Connection, table: str, filled: Filled, tick: Callable[[int], None]
) -> None:
    for first in range(1, filled.messages + 1, _COPIED_ROWS):
        last = min(first + _COPIED_ROWS - 1, filled.messages)
        await connection.copy_to_table(
            table, source=_pieces(filled, first, last), columns=COLUMNS, format="text"
        )
        tick(last - first + 1)


async def _pieces(filled: Filled, first: int, last: int) -> AsyncIterator[bytes]:
    for start in range(first, last + 1, _PIECE_ROWS):
        yield copied_text(filled, start, min(start + _PIECE_ROWS - 1, last))


async def _once(
    url: str,
    name: str,
    family: str,
    channels: Sequence[Filled],
    tables: Callable[[Connection], Awaitable[None]],
    load: Callable[[Connection, Loading], Awaitable[None]],
) -> None:
    """Make a database under another name, and give it its own when it is complete."""
    async with connected(url) as connection:
        kept = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        if name in kept:
            return
        # Of other migrations: nobody will ask for it again, and it is large.
        for outdated in (_MAKING, *(one for one in kept if one.startswith(family))):
            await connection.execute(f"DROP DATABASE IF EXISTS {outdated} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {_MAKING} TEMPLATE template0")
        async with connected(database(url, _MAKING)) as making:
            await tables(making)
            # Whatever a crash leaves is made anew.
            await making.execute("SET synchronous_commit = off")
            with Loading(name, sum(filled.messages for filled in channels)) as loading:
                await load(making, loading)
        await connection.execute(f"ALTER DATABASE {_MAKING} RENAME TO {name}")
