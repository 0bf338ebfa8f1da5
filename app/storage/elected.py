"""One of all processes that share a database: whoever holds an advisory lock.

The lock is held by a connection of its own and ends with that, however it ends.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import asyncpg

from app.errors import Unavailable

__all__ = ["CONNECTION_FAILURES", "Leadership", "elected", "leading"]

CONNECTION_FAILURES: Final = (
    OSError,
    EOFError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # also a connection whose loss has not been noticed yet
)
"""What a connection raises, beside what Postgres says, when it is lost."""

_LOCK_POLL_SECONDS: Final = 0.1
_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_CLOSE_TIMEOUT_SECONDS: Final = 2.0
_CHECK_TIMEOUT_SECONDS: Final = 5.0


@asynccontextmanager
async def elected(
    url: str, key: int, *, settings: Mapping[str, str], wait_seconds: float = 0.0
) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record] | None]":
    """Give the connection that holds the lock to one of all who ask, and None to the others.

    Args:
        url: postgresql://user@host/database
        key: of the lock, a bigint.
        settings: PostgreSQL settings of the connection, `application_name` among them.
        wait_seconds: for another one to end.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached.
    """
    connection = await asyncpg.connect(
        url, timeout=_CONNECT_TIMEOUT_SECONDS, server_settings=dict(settings)
    )
    try:
        with suppress(asyncpg.PostgresError):  # not on every platform
            # Work whose process is gone ends within this, and its lock with it.
            await connection.execute("SET client_connection_check_interval = '2s'")
        deadline = time.monotonic() + wait_seconds
        # Asked for rather than waited for: an index is built once every statement that waits
        # has ended.
        mine = await _is_taken(connection, key)
        while not mine and time.monotonic() < deadline:
            await asyncio.sleep(_LOCK_POLL_SECONDS)
            mine = await _is_taken(connection, key)
        yield connection if mine else None
    finally:
        # Under way still, when this task is cancelled: then closing cancels it in Postgres.
        try:
            await connection.close(timeout=_CLOSE_TIMEOUT_SECONDS)
        except (*CONNECTION_FAILURES, asyncpg.PostgresError):
            connection.terminate()


class Leadership:
    """The lock, for work that other connections do."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def check(self) -> None:
        """Return if it is held still.

        Raises:
            Unavailable: the connection is lost, and the lock with it.
        """
        try:
            await self._connection.execute("SELECT 1", timeout=_CHECK_TIMEOUT_SECONDS)
        except (*CONNECTION_FAILURES, asyncpg.PostgresError) as error:
            raise _lost() from error


@asynccontextmanager
async def leading(url: str, key: int, name: str) -> AsyncIterator[Leadership | None]:
    """Let one of all who ask lead, for as long as it likes, and none of the others.

    Args:
        url: postgresql://user@host/database
        key: of the lock, a bigint.
        name: of the work, for the database's list of connections.

    Raises:
        Unavailable: the database cannot be reached.
    """
    async with AsyncExitStack() as stack:
        held = elected(url, key, settings={"application_name": f"widgetwire {name}"})
        try:
            connection = await stack.enter_async_context(held)
        except (*CONNECTION_FAILURES, asyncpg.PostgresError) as error:
            raise _lost() from error
        yield None if connection is None else Leadership(connection)


def _lost() -> Unavailable:
    return Unavailable("the database is unavailable; retry later")


async def _is_taken(connection: "asyncpg.Connection[asyncpg.Record]", key: int) -> bool:
    taken: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1)", key)
    return taken
