"""A connection to the service's database, for a command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from app.errors import DatabaseUnreachable
from app.storage.elected import CONNECTION_FAILURES

__all__ = ["connected"]

_CONNECT_TIMEOUT_SECONDS: Final = 10.0
_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it is shutting down
    asyncpg.InsufficientResourcesError,  # its disk is full
)


@asynccontextmanager
async def connected(url: str, command: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Connect to the database while the block runs.

    Args:
        url: postgresql://…
        command: its name, for those who look at the database's connections.

    Raises:
        DatabaseUnreachable: it is away, or went away.
    """
    try:
        connection = await asyncpg.connect(
            url,
            timeout=_CONNECT_TIMEOUT_SECONDS,
            server_settings={
                "application_name": f"widgetwire {command}",
                "statement_timeout": "0",
            },
        )
    except (*CONNECTION_FAILURES, asyncpg.PostgresError) as error:
        raise DatabaseUnreachable(f"the database is not reachable: {error}") from error
    try:
        yield connection
    except (*CONNECTION_FAILURES, *_AWAY) as error:
        raise DatabaseUnreachable(f"the connection to the database was lost: {error}") from error
    finally:
        connection.terminate() if connection.is_closed() else await connection.close(timeout=5)
