"""A pool of Postgres connections, and the border where driver errors end.

Nothing above this file sees an asyncpg exception of an outage: what a client may retry is
`Unavailable`, what is a bug stays an exception of its own and is masked further up.

    Unavailable
    ├── DatabaseLost       not reachable; `sent` says whether the statement may have happened
    ├── DatabaseBusy       no connection in time, or no lock; nothing happened
    │   └── DatabaseTookTooLong   cancelled; nothing happened
    └── DatabaseRefuses    it answers and cannot work (disk full, say); nothing happened
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg

from app.defaults import DATABASE_POOL_SIZE, STATEMENT_TIMEOUT_SECONDS
from app.errors import Unavailable
from app.storage.incidents import Incidents
from app.storage.trust import Trust
from app.telemetry.traces import TRACES

if TYPE_CHECKING:
    from app.telemetry.recorder import TraceRecorder

__all__ = [
    "Connection",
    "Database",
    "DatabaseBusy",
    "DatabaseLost",
    "DatabaseRefuses",
    "DatabaseTookTooLong",
]

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)

_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 0.5
_IDLE_SECONDS: Final = 300.0

_LOST: Final = (
    OSError,  # TimeoutError is one: our own clock ended it, for the server did not
    EOFError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,  # starting up or shutting down
    asyncpg.OperatorInterventionError,  # administrator's shutdown, crash of a neighbour
    asyncpg.TooManyConnectionsError,  # told to a connection that is being opened
)
_BY_STATE: Final = (
    # asyncpg has one class for "the pool is closing" and for "one argument too few". They
    # are told apart by what can be seen of the connection, not by their words.
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # also a connection lost between two steps of a statement
)
_BUSY: Final = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
_REASONS: Final[tuple[tuple[type[asyncpg.PostgresError], str], ...]] = (
    (asyncpg.DiskFullError, "disk full"),
    (asyncpg.OutOfMemoryError, "out of memory"),
    (asyncpg.ConfigurationLimitExceededError, "a configured limit is reached"),
    (asyncpg.InsufficientResourcesError, "out of resources"),
    (asyncpg.PostgresIOError, "input/output error"),
)
_REFUSED: Final = tuple(kind for kind, _ in _REASONS)
_FAILURES: Final = ("busy", "cancelled", "lost", "no_connection", "refused")
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_JSONB_VERSION: Final = b"\x01"


class DatabaseLost(Unavailable):
    """The database cannot be reached.

    Args:
        sent: False: the statement never left, so it did not happen; True: it may have.
    """

    def __init__(self, *, sent: bool = True) -> None:
        super().__init__("the database is unavailable; retry later")
        self.sent = sent


class DatabaseBusy(Unavailable):
    """The database has too much to do; the statement did not happen."""


class DatabaseTookTooLong(DatabaseBusy):
    """The statement ran for longer than it may and was cancelled; it did not happen."""


class DatabaseRefuses(Unavailable):
    """The database answers and cannot carry out the statement; it did not happen.

    Args:
        reason: what it lacks, for the operator.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("the database cannot do this now; retry later")
        self.reason = reason


async def _prepare(
    connection: "asyncpg.Connection[asyncpg.Record]",
    trust: Trust,
    then: Callable[[Connection], Awaitable[None]] | None,
) -> None:
    # Messages' data stays JSON text from the table to the wire.
    # The binary format of jsonb is a version byte and the text (jsonb_recv in jsonb.c).
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda text: _JSONB_VERSION + text,
        decoder=lambda wire: wire[1:],
    )
    if then is not None:
        await then(connection)
    trust.believe(connection)


class Database:
    """A bounded pool of connections.

    One statement, one round trip: nothing here opens a transaction across statements.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        statement_timeout: float,
        incidents: Incidents,
        trust: Trust,
        advice: str,
        *,
        keep: bool = False,
    ) -> None:
        self._pool = pool
        self._trust = trust
        # With a pool that keeps its idle connections: those that nobody uses now. To give one
        # back to the pool and to take it again costs a task and two timers.
        self._keep = keep
        self._kept: list[asyncpg.pool.PoolConnectionProxy[asyncpg.Record]] = []
        self._acquiring = 0
        self._statement_timeout = statement_timeout
        self._incidents = incidents
        self._advice = advice
        self.failures: Counter[str] = Counter(dict.fromkeys(_FAILURES, 0))
        """Statements that failed, and connections that were not had, by why."""

    @property
    def size(self) -> int:
        """Connections at the most."""
        return self._pool.get_max_size()

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return self._pool.get_size()

    @property
    def used(self) -> int:
        """Connections that a statement has, or that are being opened for one."""
        return self._pool.get_size() - self._pool.get_idle_size() - len(self._kept)

    @property
    def waiting(self) -> int:
        """Statements that have no connection yet."""
        return self._acquiring

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        pool_size: int = DATABASE_POOL_SIZE,
        statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS,
        incidents: Incidents | None = None,
        keep_idle: bool = False,
        server_settings: Mapping[str, str] = _NONE,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
        advice: str = "ask for less, or retry later",
    ) -> "Database":
        """Open the pool, and one connection of it.

        Args:
            url: postgresql://user@host/database
            pool_size: connections at the most; callers beyond it wait their turn.
            statement_timeout_seconds: a statement that takes longer is cancelled by the
                server; one second later we stop waiting for it. Nobody waits for a free
                connection for longer.
            incidents: told of outages, shared by the pools of a process; None: its own.
            keep_idle: False: a connection that is idle for five minutes is closed.
            server_settings: PostgreSQL settings of these connections.
            prepare: called with each new connection, before it is used.
            advice: what a client is told to do about a statement that was cancelled.

        Raises:
            DatabaseLost: no connection can be opened.
        """
        incidents = incidents or Incidents()
        trust = Trust(incidents)
        pool = asyncpg.create_pool(
            url,
            # No floor: asyncpg restores one by itself after an outage, and logs a trace for
            # each attempt that fails.
            min_size=0,
            max_size=pool_size,
            max_inactive_connection_lifetime=0.0 if keep_idle else _IDLE_SECONDS,
            init=partial(_prepare, trust=trust, then=prepare),
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
                **server_settings,
            },
        )
        database = cls(
            pool,
            statement_timeout_seconds,
            incidents,
            trust,
            advice,
            keep=keep_idle,
        )
        try:
            await pool
            async with pool.acquire():
                pass
        except (*_LOST, *_BY_STATE) as error:
            pool.terminate()
            raise DatabaseLost(sent=False) from error
        return database

    def fetch(
        self,
        sql: str,
        *parameters: Any,
        timeout_seconds: float | None = None,
        on_send: Callable[[], None] = lambda: None,
    ) -> Coroutine[Any, Any, list[asyncpg.Record]]:
        """Run one statement in a transaction of its own and return its rows.

        Args:
            sql: with $1, $2 … for the parameters.
            parameters: as asyncpg encodes them; jsonb as the bytes of its text.
            timeout_seconds: for all of it, the wait for a connection included; None: what
                `connect` was told.
            on_send: called when the statement is about to leave; before that, it has not
                happened.

        Raises:
            DatabaseLost: the database is away; unless `sent` is False, a write may have
                happened.
            DatabaseTookTooLong: it ran for too long and was cancelled.
            DatabaseBusy: no connection was free in time, or a lock was not given.
            DatabaseRefuses: the database lacks what it needs, disk space say.
        """
        fetching = self._fetch(sql, parameters, timeout_seconds, on_send)
        # Not a coroutine around another one where nothing is traced: each statement pays for it.
        recorder = TRACES.recorder
        return fetching if recorder is None else _traced(recorder, sql, fetching)

    async def _fetch(
        self,
        sql: str,
        parameters: Sequence[Any],
        timeout_seconds: float | None,
        on_send: Callable[[], None],
    ) -> list[asyncpg.Record]:
        if timeout_seconds is None:
            connection = await self._acquire(self._statement_timeout)
            left = None
        else:
            deadline = time.monotonic() + timeout_seconds
            connection = await self._acquire(min(timeout_seconds, self._statement_timeout))
            # asyncpg takes a timeout of 0 for none.
            left = max(0.001, deadline - time.monotonic())
        on_send()
        sound = False
        try:
            rows = await connection.fetch(sql, *parameters, timeout=left)
            sound = True
            if self._incidents.lost_since is not None:
                self._incidents.answered()
            return rows
        except Exception as error:
            translated = self._translated(error, connection)
            if translated is error:
                raise
            raise translated from error
        finally:
            await self._release(connection, sound=sound)

    async def close(self) -> None:
        """Close all connections; those in use are waited for half a second. Idempotent.

        Who writes has been closed before: what is left is a search that nobody waits for.
        """
        self._keep = False
        while self._kept:
            await self._release(self._kept.pop())
        try:
            await asyncio.wait_for(self._pool.close(), _CLOSE_SECONDS)
        except TimeoutError:
            self._pool.terminate()

    async def _acquire(self, wait: float) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
        if not self._incidents.silences:
            return await self._take(wait)
        deadline = time.monotonic() + wait
        while True:
            connection = await self._take(max(0.001, deadline - time.monotonic()))
            holds = False
            try:
                holds = await self._trust.holds(connection, deadline - time.monotonic())
            finally:
                # Also where whoever asks gives up meanwhile: it would be nobody's for good.
                if not holds:
                    _end(connection)
                    await self._release(connection)
            if holds:
                return connection

    async def _take(self, wait: float) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
        while self._kept:
            kept = self._kept.pop()
            if self._usable(kept):
                return kept
            await self._release(kept)
        self._acquiring += 1
        try:
            # A bounded wait costs a timer: only where there is something to wait for.
            return await self._pool.acquire(timeout=None if self._pool.get_idle_size() else wait)
        except TimeoutError as error:
            if self._pool.get_size() == self._pool.get_max_size():
                self.failures["no_connection"] += 1
                raise DatabaseBusy(
                    f"the database is overloaded: no connection was free within {wait:g} s; "
                    "retry later"
                ) from error
            # There was room for one more connection, and it could not be opened.
            raise self._lost(error, sent=False) from error
        except (*_LOST, *_BY_STATE) as error:
            raise self._lost(error, sent=False) from error
        except asyncpg.InsufficientResourcesError as error:
            raise self._refused(error) from error
        finally:
            self._acquiring -= 1

    async def _release(
        self,
        connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]",
        *,
        sound: bool = False,
    ) -> None:
        # One whose statement was cancelled may be busy with that: the pool waits for it.
        if sound and self._keep and not self._acquiring and self._usable(connection):
            self._kept.append(connection)
            return
        # What was lost after the answer does not change the answer; the pool drops it.
        with suppress(*_LOST, *_BY_STATE):
            await self._pool.release(connection)

    def _translated(
        self, error: Exception, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
    ) -> Exception:
        """Return what the caller should see of a statement's failure."""
        if isinstance(error, asyncpg.PostgresError):
            # It quotes what clients wrote, "Failing row contains (…)", and traces are logged.
            error.detail = None
        if isinstance(error, asyncpg.QueryCanceledError):
            self.failures["cancelled"] += 1
            return DatabaseTookTooLong(
                f"the database took longer than {self._statement_timeout:g} s; {self._advice}"
            )
        if isinstance(error, _BUSY):
            self.failures["busy"] += 1
            return DatabaseBusy("the database is overloaded; retry later")
        if isinstance(error, TimeoutError):
            # It did not even cancel the statement. Do not wait for it in the release.
            _end(connection)
        if isinstance(error, _LOST):
            return self._lost(error, sent=True)
        if isinstance(error, _BY_STATE):
            return error if self._usable(connection) else self._lost(error, sent=True)
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            # A standby during a failover. The next connection may find the new primary.
            _end(connection)
            self._refused(error)
            return DatabaseLost(sent=False)
        return self._refused(error) if isinstance(error, _REFUSED) else error

    def _usable(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> bool:
        """Return whether a statement could be carried out: then what failed is misuse."""
        if self._pool.is_closing():
            return False
        try:
            return not connection.is_closed()
        except asyncpg.InterfaceError:
            return False  # it was closed and taken out of the pool meanwhile

    def _lost(self, error: Exception, *, sent: bool) -> DatabaseLost:
        if not self._pool.is_closing():  # else it was we who ended it
            self.failures["lost"] += 1
            self._incidents.lost(type(error).__name__, silent=isinstance(error, TimeoutError))
        return DatabaseLost(sent=sent)

    def _refused(self, error: Exception) -> DatabaseRefuses:
        reason = next((text for kind, text in _REASONS if isinstance(error, kind)), "read-only")
        self.failures["refused"] += 1
        self._incidents.refused(reason)
        return DatabaseRefuses(reason)


async def _traced(
    recorder: "TraceRecorder", sql: str, fetching: Awaitable[list[asyncpg.Record]]
) -> list[asyncpg.Record]:
    with recorder.statement(sql):
        return await fetching


def _end(connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
    # The pool has taken it back by itself if it was lost a moment ago.
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _no_reset(_connection: Connection) -> None:
    return
