"""The schema's revisions: applied here, and a database that does not fit refused here.

The revisions are Alembic's, in `migrations/` of a source tree and in `app/_migrations` of
an installed wheel. They run over asyncpg, as all else does.
"""

import asyncio
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

import app
from app import setting_names
from app.errors import ConfigurationError, DatabaseUnreachable
from app.storage import tables as _tables  # fills SQLModel.metadata

__all__ = [
    "check_schema",
    "current_revision",
    "engine_of",
    "migrate",
    "newest_revision",
    "tables",
]

OLDEST_SERVER: Final = 15
"""The oldest major version of PostgreSQL that is served."""

_CONNECT_TIMEOUT_SECONDS: Final = 10.0
_LOCK_TIMEOUT_SECONDS: Final = 60
_LOCK_POLL_SECONDS: Final = 0.1
_LOCK_KEY: Final = 0x57494447_45545752
"""`WIDGETWR`: the advisory lock that one migration at a time holds."""

_REFUSALS: Final[dict[str | None, str]] = {
    asyncpg.LockNotAvailableError.sqlstate: "another transaction (a backup, for example) is "
    "locking a table that must change: wait for it to "
    "end, then start again",
    asyncpg.InsufficientPrivilegeError.sqlstate: "the database user may not change the schema: "
    "run `widgetwire migrate` as the owner of the "
    "database",
    asyncpg.ReadOnlySQLTransactionError.sqlstate: "the database is read-only (a standby): migrate "
    "the primary",
}


_NOT_YET: Final = (
    OSError,  # nobody listens, or the name is not known yet
    TimeoutError,
    asyncpg.CannotConnectNowError,  # it is starting
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
)


async def migrate(url: str) -> None:
    """Bring the schema to the newest revision; nothing happens where it is there already.

    Safe to call from several processes at once: one migrates, the others wait for it.

    Args:
        url: postgresql://…, of a user that may create tables.

    Raises:
        DatabaseUnreachable: the database takes no connections now.
        ConfigurationError: it refuses this user, does not fit, is newer than this version, or
            another migration takes longer than a minute.
    """
    _refuse_newer(await _inspect(url))
    engine = engine_of(url)
    try:
        # The lock has a connection of its own: revisions may end transactions on theirs.
        async with engine.connect() as lock, engine.connect() as connection:
            await _take(lock)
            await connection.run_sync(_upgrade)
            await connection.commit()
    except DBAPIError as error:
        refusal = _REFUSALS.get(getattr(error.orig, "sqlstate", None))
        if refusal is None:
            raise
        raise ConfigurationError(refusal) from error
    finally:
        await engine.dispose()


async def current_revision(url: str) -> str | None:
    """Return the revision of the database's schema; None: it has no schema of ours.

    Raises:
        ConfigurationError: the database cannot be reached or does not fit.
    """
    return await _inspect(url)


async def check_schema(url: str) -> None:
    """Return if this version can serve that database.

    Raises:
        DatabaseUnreachable: the database takes no connections now.
        ConfigurationError: it refuses this user, the server is older than PostgreSQL 15, its
            encoding is not UTF8, or the schema is older or newer than this version's; says
            what to do.
    """
    revision = await _inspect(url)
    _refuse_newer(revision)
    newest = newest_revision()
    if revision != newest:
        raise ConfigurationError(
            f"the database's schema is at revision {revision or 'none'}, but this version "
            f"requires {newest}: run `widgetwire migrate`, or `widgetwire serve --migrate`"
        )


def newest_revision() -> str:
    """Return the revision that this version of the service needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "revisions are packaged with the service"
    return head


def engine_of(url: str) -> AsyncEngine:
    """Return an engine on asyncpg for a URL as asyncpg reads it; it keeps no connections."""

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            url,
            timeout=_CONNECT_TIMEOUT_SECONDS,
            server_settings={"application_name": "widgetwire migrate"},
        )

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)


def tables() -> MetaData:
    """Return the tables that the revisions must add up to."""
    assert _tables.MessageRow.metadata is SQLModel.metadata
    return SQLModel.metadata


async def _take(lock: AsyncConnection) -> None:
    # An index that is built concurrently waits for all who have a snapshot, as an open
    # transaction and a statement that waits have. So the lock belongs to the session, and is
    # asked for rather than waited for.
    await lock.execution_options(isolation_level="AUTOCOMMIT")
    deadline = time.monotonic() + _LOCK_TIMEOUT_SECONDS
    while not await lock.scalar(text(f"SELECT pg_try_advisory_lock({_LOCK_KEY})")):
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"another migration of this database has been running for {_LOCK_TIMEOUT_SECONDS} "
                "s: wait for it to end, then start again"
            )
        await asyncio.sleep(_LOCK_POLL_SECONDS)


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    package = Path(app.__file__).parent
    packaged = package / "_migrations"
    location = packaged if packaged.is_dir() else package.parent / "migrations"
    config = Config()
    # Config reads percent signs as interpolation.
    config.set_main_option("script_location", str(location).replace("%", "%%"))
    return config


def _refuse_newer(revision: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise ConfigurationError(
            f"the database's schema is at revision {revision}, which this version does not know "
            f"(its newest is {newest_revision()}): the database was migrated by a newer version; "
            "install that version"
        )


async def _inspect(url: str) -> str | None:
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT_SECONDS)
    except (
        OSError,
        TimeoutError,
        ValueError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
    ) as error:
        reason = str(error) or "no response in time"
        kind = DatabaseUnreachable if isinstance(error, _NOT_YET) else ConfigurationError
        raise kind(
            f"cannot reach the database at {_place(url)} ({reason}): check "
            f"{setting_names.DATABASE_URL} and that the server is running"
        ) from error
    try:
        version = connection.get_server_version()
        if version.major < OLDEST_SERVER:
            raise ConfigurationError(
                f"the database server is PostgreSQL {version.major}; {OLDEST_SERVER} or newer is "
                "required"
            )
        encoding = await connection.fetchval("SHOW server_encoding")
        if encoding != "UTF8":
            raise ConfigurationError(
                f"the database's encoding is {encoding}; UTF8 is needed: "
                "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return None
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        return revision
    finally:
        await connection.close()


def _place(url: str) -> str:
    """Return where a URL points, without user and password."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"
    except ValueError:
        return "the given address"
