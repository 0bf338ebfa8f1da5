"""The pool of Postgres connections, and the border where driver errors end.

Nothing above this file sees an asyncpg exception: what a client may retry is
`Unavailable`, what is a bug stays an exception of its own and is masked further up.
"""

import asyncio
import logging
from typing import Any, Final, TypeAlias

import asyncpg

from app.errors import Unavailable

__all__ = ["Connection", "Database", "DatabaseLost"]

logger = logging.getLogger(__name__)

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)

_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 1.0

_LOST: Final = (
    OSError,
    EOFError,
    asyncpg.PostgresConnectionError,  # also "connection is closed"
    asyncpg.InterfaceError,  # the pool or a connection of it is closing
    asyncpg.InternalClientError,  # lost between two steps of one statement
    asyncpg.CannotConnectNowError,  # starting up or shutting down
    asyncpg.OperatorInterventionError,  # administrator's shutdown, crash of a neighbour
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby during a failover
)
_JSONB_VERSION: Final = b"\x01"


class DatabaseLost(Unavailable):
    """The database cannot be reached; what was under way may or may not have happened."""

    def __init__(self) -> None:
        super().__init__("the database is not reachable now; retry later")


async def _prepare(connection: Connection) -> None:
    # Messages' data stays JSON text from the table to the wire.
    # The binary format of jsonb is a version byte and the text (jsonb_recv in jsonb.c).
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda text: _JSONB_VERSION + text,
        decoder=lambda wire: wire[1:],
    )


class Database:
    """A bounded pool of connections.

    One statement, one round trip: nothing here opens a transaction across statements.
    """

    def __init__(self, url: str, pool: "asyncpg.Pool[asyncpg.Record]", timeout: float) -> None:
        self.url = url
        self._pool = pool
        self._timeout = timeout

    @classmethod
    async def connect(
        cls, url: str, *, pool_size: int = 10, statement_timeout_seconds: float = 10.0
    ) -> "Database":
        """Open the pool.

        Args:
            url: postgresql://user@host/database
            pool_size: connections at the most; callers beyond it wait their turn.
            statement_timeout_seconds: a statement that takes longer is cancelled by the
                server; waiting for a free connection is bounded by the same time.

        Raises:
            DatabaseLost: no connection can be opened.
        """
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=pool_size,
                init=_prepare,
                timeout=_CONNECT_TIMEOUT_SECONDS,
                # A server that is cut off cannot cancel anything: our own clock has to.
                command_timeout=statement_timeout_seconds + _GRACE_SECONDS,
                # None of our statements leaves session state, so no RESET ALL round trip.
                reset=_no_reset,
                server_settings={
                    "application_name": "widgetwire",
                    "statement_timeout": str(int(statement_timeout_seconds * 1000)),
                    # Planning ahead of time beats compiling: our statements are short.
                    "jit": "off",
                },
            )
        except (*_LOST, TimeoutError) as error:
            raise DatabaseLost from error
        return cls(url, pool, statement_timeout_seconds)

    async def fetch(self, sql: str, *parameters: Any) -> list[asyncpg.Record]:
        """Run one statement in a transaction of its own and return its rows.

        Args:
            sql: with $1, $2 … for the parameters.
            parameters: as asyncpg encodes them; jsonb as the bytes of its text.

        Raises:
            DatabaseLost: the database is away; a write may or may not have happened.
            Unavailable: it took too long, or no connection was free in time.
        """
        try:
            # A bounded wait costs a timer: only where there is something to wait for.
            timeout = None if self._pool.get_idle_size() else self._timeout
            async with self._pool.acquire(timeout=timeout) as connection:
                return await connection.fetch(sql, *parameters)
        except asyncpg.DataError:
            raise  # an InterfaceError by its class, and a bug of ours by its nature
        except asyncpg.QueryCanceledError as error:
            raise Unavailable(
                f"the database took longer than {self._timeout:g} s; narrow the query or retry"
            ) from error
        except TimeoutError as error:
            raise Unavailable("the database is overloaded; retry later") from error
        except _LOST as error:
            logger.warning("database connection failed: %s", type(error).__name__)
            raise DatabaseLost from error

    async def close(self) -> None:
        """Close all connections; those in use are waited for, shortly. Idempotent."""
        try:
            await asyncio.wait_for(self._pool.close(), 5.0)
        except TimeoutError:
            self._pool.terminate()


async def _no_reset(_connection: Connection) -> None:
    return
