"""Pings for all connections of a server, from one timer.

A timer for each connection would cost memory and a heap entry per ping. Here the
interval is cut into slots, and each tick visits the connections of one slot.
"""

import asyncio
import math
from typing import Final, Protocol

__all__ = ["Keepalive", "Pinged"]

_SLOTS: Final = 20


class Pinged(Protocol):
    """A connection that is visited."""

    def visit(self, silent_visits_allowed: int) -> None:
        """Send a ping, or give the peer up.

        Args:
            silent_visits_allowed: visits in a row after which a silent peer is given up.
        """


class Keepalive:
    """Visits each connection once an interval, spread evenly over it.

    Args:
        loop: runs the timer, which stops while there is no connection.
        interval_seconds: between two visits of one connection; None: never.
        timeout_seconds: how long a peer may be silent after a ping, rounded up to whole
            intervals; None: for ever.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval_seconds: float | None,
        timeout_seconds: float | None,
    ) -> None:
        self._loop = loop
        self._tick_seconds = (interval_seconds or 0) / _SLOTS
        self._silent_visits_allowed = (
            math.ceil(timeout_seconds / interval_seconds)
            if interval_seconds and timeout_seconds
            else 2**62
        )
        self._slots: tuple[set[Pinged], ...] = tuple(set() for _ in range(_SLOTS))
        self._visited = 0
        self._added = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Pinged) -> set[Pinged]:
        """Visit `connection` from now on, until it is discarded from the set returned.

        The first visit comes after half an interval to a whole one: connections that
        came at once are spread, and none is pinged when it has only begun.
        """
        self._added = (self._added + 1) % (_SLOTS // 2)
        slot = self._slots[(self._visited - self._added) % _SLOTS]
        if self._tick_seconds:
            slot.add(connection)
            if self._timer is None:
                self._timer = self._loop.call_later(self._tick_seconds, self._tick)
        return slot

    def _tick(self) -> None:
        self._timer = None
        if not any(self._slots):
            return
        self._timer = self._loop.call_later(self._tick_seconds, self._tick)
        self._visited = (self._visited + 1) % _SLOTS
        for connection in tuple(self._slots[self._visited]):
            connection.visit(self._silent_visits_allowed)
