"""What `widgetwire indexes` does: each function asks the database and returns what to print."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from app.domain.query import FieldPath, parse_field
from app.errors import BadUserInput, ConfigurationError
from app.storage.elected import CONNECTION_FAILURES
from app.storage.indexes import registry
from app.storage.indexes.builder import IndexBuilder, building
from app.storage.indexes.decisions import Known
from app.storage.indexes.definitions import NAME_PREFIX, IndexDefinition
from app.storage.indexes.shapes import MAX_EQUAL

__all__ = ["added", "dropped", "listed", "parse_paths"]

_WAIT_SECONDS: Final = 60.0
"""For a build that is under way."""
_HEADINGS: Final = ("NAME", "PATHS", "SIZE", "USES", "LAST USED", "STATE")
_KIB: Final = 1024


def parse_paths(paths: Sequence[str], sort: str | None) -> IndexDefinition:
    """Return the index that the arguments of `add` mean.

    Raises:
        ConfigurationError: one of them is no path below data, is there twice, or is a fifth.
    """
    fields = [_parsed("PATH", path) for path in paths]
    # As a search asks for them.
    fields.sort(key=lambda field: field.path)
    if sort is not None:
        fields.append(_parsed("--sort", sort))
    if len(set(fields)) < len(fields):
        raise ConfigurationError("a path is repeated; name each path once")
    if len(paths) > MAX_EQUAL:
        raise ConfigurationError(
            f"{len(paths)} paths were given; an index has at most {MAX_EQUAL}, plus --sort"
        )
    return IndexDefinition.on(fields)


async def listed(url: str) -> str:
    """Return a table of the indexes that are there, and of the shapes that wait for one."""
    async with _connection(url) as connection:
        known = await registry.read(connection.fetch)
        builds = await connection.fetch("SELECT FROM pg_stat_progress_create_index")
    found = (_row(one, is_built=bool(builds)) for one in known.shapes)
    rows = [row for row in found if row is not None]
    if not rows:
        return "no search indexes, and none pending"
    table = [_HEADINGS, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


async def added(url: str, index: IndexDefinition) -> str:
    """Build an index that the service never drops, and return its name in words.

    Raises:
        ConfigurationError: another one is being built, the database refuses it or is lost.
    """
    async with _builder(url) as builder:
        ready = (await builder.read()).ready
        if index in ready:
            await builder.keep(index)
            return f"{index.name} exists already; it will not be dropped automatically"
        await builder.build(index, kept=True)
    return f"built {index.name}"


async def dropped(url: str, name: str) -> str:
    """Drop an index, and return its name in words.

    Raises:
        ConfigurationError: there is no such index; else as `added`.
    """
    async with _builder(url) as builder:
        shapes = (await builder.read()).shapes
        index = next(
            (one.index for one in shapes if one.index.name == name and one.valid is not None), None
        )
        if index is None:
            raise ConfigurationError(
                f"no search index is named {name!r}; `widgetwire indexes` lists them (their names "
                f"begin with {NAME_PREFIX})"
            )
        await builder.drop(index)
    return f"dropped {name}"


def _parsed(argument: str, path: str) -> FieldPath:
    try:
        field = parse_field(argument, path)
    except BadUserInput as error:
        raise ConfigurationError(error.message) from None
    if not field.path:
        raise ConfigurationError(
            f"{argument} is {path!r}; expected a path below data, such as data.score (clientId "
            "and username are indexed in every channel)"
        )
    return field


def _row(known: Known, *, is_built: bool) -> tuple[str, ...] | None:
    if known.valid is None and not known.is_wanted:
        return None
    if known.valid is None:
        state = "waiting"
    elif not known.valid:
        state = "being built" if is_built else "not finished"
    else:
        state = "ready, added by hand" if known.kept else "ready"
    return (
        known.index.name,
        ", ".join(map(str, known.index.fields)),
        f"{known.bytes / _KIB / _KIB:.1f} MiB" if known.valid is not None else "-",
        f"{known.uses:.0f}",
        f"{_duration(known.unused_seconds)} ago" if round(known.uses) else "never",
        state,
    )


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


@asynccontextmanager
async def _builder(url: str) -> AsyncIterator[IndexBuilder]:
    try:
        async with building(url, wait_seconds=_WAIT_SECONDS) as builder:
            if builder is None:
                raise ConfigurationError(
                    f"another index has been building for {_WAIT_SECONDS:g} s: wait for it, then "
                    "run the command again"
                )
            yield builder
    except (*CONNECTION_FAILURES, asyncpg.PostgresError) as error:
        raise _refused(error) from error


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    try:
        connection = await asyncpg.connect(url, timeout=5.0)
        try:
            yield connection
        finally:
            await connection.close(timeout=5.0)
    except (*CONNECTION_FAILURES, asyncpg.PostgresError) as error:
        raise _refused(error) from error


def _refused(error: BaseException) -> ConfigurationError:
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return ConfigurationError(
            f"the database refused ({error}): connect as the owner of its tables, as for "
            "`widgetwire migrate`"
        )
    return ConfigurationError(f"the database command failed: {error or 'no response in time'}")
