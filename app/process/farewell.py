"""Telling connections that the process goes away: not all of their clients come back at once."""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, Protocol

__all__ = ["Farewell", "Leaving"]

_STEP_SECONDS: Final = 0.05
_PER_SECOND: Final = 400
"""As many clients may come back within a second whatever the setting: few are told at once."""

_logger = logging.getLogger(__name__)


class Leaving(Protocol):
    """A connection, as it is told to end."""

    @property
    def busy(self) -> bool:
        """Whether something that its peer asked for would be cut short."""

    def shutdown(self) -> None:
        """End so that the peer comes back, once what was acknowledged is sent. Idempotent."""


class Farewell:
    """Tells each connection once, in random order; those that are busy in their turn come last.

    Args:
        connections: live, looked at when `run` is called; no new ones are made any more.
        seconds: over how long, at the most.
        clock: tells the time in seconds.
    """

    def __init__(
        self,
        connections: Collection[Leaving],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connections = connections
        self._seconds = seconds
        self._clock = clock
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Tell whoever is left at once. Idempotent; `run` need not have begun."""
        self._hurried.set()

    async def run(self) -> None:
        """Return when every connection has been told."""
        waiting = deque(random.sample(list(self._connections), len(self._connections)))
        most = len(waiting)
        seconds = min(self._seconds, most / _PER_SECOND)
        busy: list[Leaving] = []
        began = self._clock()
        while waiting:
            late = self._clock() - began + _STEP_SECONDS
            due = most if late >= seconds or self._hurried.is_set() else int(most * late / seconds)
            while most - len(waiting) < due:
                connection = waiting.popleft()
                if connection.busy:
                    busy.append(connection)
                else:
                    _tell(connection)
            if waiting:
                await self._pause()
        for connection in busy:
            _tell(connection)

    async def _pause(self) -> None:
        # Not wait_for: Python 3.11's drops a cancellation that comes with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STEP_SECONDS):
                await self._hurried.wait()


def _tell(connection: Leaving) -> None:
    try:
        connection.shutdown()
    except Exception:
        _logger.exception("a connection could not be told that the process goes away")
