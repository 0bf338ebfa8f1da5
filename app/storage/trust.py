"""Which connections may be used without asking: a link that swallows leaves them open, and dead.

A router that forgets connections, or drops everything for a while, sends neither an end nor a
reset. Whoever uses such a connection waits until the time is over, and a pool has many of them.
So once anything has fallen silent, each connection of the process has to answer before it is used
again; and where one does not, its pool opens the others anew without asking them.
"""

from typing import Final

import asyncpg

from app.storage.incidents import Incidents

__all__ = ["Trust"]

_ANSWER_SECONDS: Final = 1.0
_KNOWN_MAX: Final = 1_000
"""Beyond that all have to answer once more."""


class Trust:
    """The connections of one pool.

    Args:
        incidents: of the process; tells whether anything has fallen silent.
    """

    def __init__(self, incidents: Incidents) -> None:
        self._incidents = incidents
        self._silences = 0
        """Those that were taken into account."""
        self._trusted: set[int] = set()
        """Process numbers of the servers of connections that were opened or have answered since."""
        self._condemned = False
        """Whether one has not answered since: then the others are not asked."""

    def believe(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Take note that a connection works: it was just opened."""
        if self._silences or self._incidents.silences:
            self._begin_anew()
            self._trusted.add(connection.get_server_pid())

    async def holds(
        self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", seconds: float
    ) -> bool:
        """Return whether a connection may be used; it may be asked for a sign of life.

        Args:
            connection: that nobody else uses.
            seconds: the most to wait for it.
        """
        self._begin_anew()
        if connection.get_server_pid() in self._trusted:
            return True
        if self._condemned:
            return False
        try:
            await connection.execute("SELECT 1", timeout=max(0.001, min(_ANSWER_SECONDS, seconds)))
        except (OSError, EOFError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._condemned = True
            return False
        except asyncpg.InternalClientError:
            return False
        self._trusted.add(connection.get_server_pid())
        return True

    def _begin_anew(self) -> None:
        if self._silences != self._incidents.silences or len(self._trusted) > _KNOWN_MAX:
            self._silences = self._incidents.silences
            self._trusted.clear()
            self._condemned = False
