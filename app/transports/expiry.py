"""The end of a viewer's rights on a connection that lives on: the same on every transport.

One timer a process, however many connections: it wakes for the next end, and every few seconds in
any case. Timers count elapsed time, and a token ends at a time of day, which an operator or NTP
may move.
"""

import asyncio
import heapq
import logging
import time
from collections.abc import Callable
from itertools import count
from typing import Final
from weakref import WeakKeyDictionary

from app.domain.viewer import Viewer
from app.transports.auth.claims import LEEWAY_SECONDS

__all__ = ["Expiry"]

logger = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS: Final = 4.0
"""Then the clock is read again, if there is any end to wait for."""
_AT_ONCE: Final = 50
"""Connections that end in one turn of the loop: a few milliseconds."""
_MOST_CANCELLED: Final = 1000
"""Ends that count no more and are still kept; more than that and than half of all are dropped."""


class Expiry:
    """Calls back once when a viewer's token expires; never for a viewer without an end.

    The end is the token's `exp`. A viewer whose token is past that already, and was accepted
    because clocks may differ, keeps its rights until the leeway is over: its token is refused then,
    so that a client that comes back with it is not sent round in circles.

    Args:
        viewer: whose `expires_at` counts.
        on_expired: called on the loop, at the latest 5 s after the clock has reached the end, and
            at once where nothing moved the clock.
        accepted_at: when the token was accepted, seconds since the Unix epoch; an end that has
            come since holds. None: now.
    """

    __slots__ = ("_ends", "_on_expired")

    def __init__(
        self,
        viewer: Viewer,
        on_expired: Callable[[], None],
        *,
        accepted_at: float | None = None,
    ) -> None:
        self._on_expired: Callable[[], None] | None = None
        if viewer.expires_at is None:
            return
        ends_at = viewer.expires_at
        if ends_at <= (time.time() if accepted_at is None else accepted_at):
            ends_at += LEEWAY_SECONDS
        self._on_expired = on_expired
        self._ends = _Ends.here()
        self._ends.add(ends_at, self)

    def cancel(self) -> None:
        """Call back no more: the connection is gone. Idempotent."""
        if self._on_expired is not None:
            self._on_expired = None
            self._ends.cancelled()

    @property
    def waits(self) -> bool:
        """Whether it will call back."""
        return self._on_expired is not None

    def over(self) -> None:
        """Call back, once."""
        on_expired, self._on_expired = self._on_expired, None
        if on_expired is None:
            return
        try:
            on_expired()
        except Exception:
            logger.exception("a connection whose token has expired could not be ended")


class _Ends:
    """The ends that one event loop waits for."""

    _by_loop: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, "_Ends"]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Expiry]] = []
        """A heap; the number keeps ends at the same time apart."""
        self._numbers = count()
        self._cancelled = 0
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def here(cls) -> "_Ends":
        """Return those of the running loop."""
        loop = asyncio.get_running_loop()
        ends = cls._by_loop.get(loop)
        if ends is None:
            ends = cls._by_loop[loop] = cls()
        return ends

    def add(self, ends_at: float, expiry: Expiry) -> None:
        """Wait for one more.

        Args:
            ends_at: seconds since the Unix epoch.
            expiry: is over then.
        """
        first = self._waiting[0][0] if self._waiting else None
        heapq.heappush(self._waiting, (ends_at, next(self._numbers), expiry))
        if first is None or ends_at < first:
            self._wait()

    def cancelled(self) -> None:
        """Take note that one of them counts no more."""
        self._cancelled += 1
        if self._cancelled > max(_MOST_CANCELLED, len(self._waiting) // 2):
            self._waiting = [one for one in self._waiting if one[2].waits]
            heapq.heapify(self._waiting)
            self._cancelled = 0

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            left = max(0.0, self._waiting[0][0] - time.time())
            self._timer = asyncio.get_running_loop().call_later(
                min(left, _LONGEST_WAIT_SECONDS), self._look
            )

    def _look(self) -> None:
        self._timer = None
        now = time.time()
        ended = 0
        while self._waiting and ended < _AT_ONCE and self._waiting[0][0] <= now:
            expiry = heapq.heappop(self._waiting)[2]
            if expiry.waits:
                ended += 1
                expiry.over()
            else:
                self._cancelled = max(0, self._cancelled - 1)
        self._wait()
