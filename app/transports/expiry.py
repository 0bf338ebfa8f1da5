"""The end of a viewer's rights on a connection that lives on: the same on every transport."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from app.domain.viewer import Viewer

__all__ = ["Expiry"]

_LONGEST_WAIT_SECONDS: Final = 60.0
"""Then the clock is read again: timers count elapsed time, and a token ends at a time of day,
which an operator or NTP may move. Event loops also refuse timers of decades."""


class Expiry:
    """Calls back once when a viewer's token expires; never for a viewer without an end.

    Args:
        viewer: whose `expires_at` counts.
        on_expired: called on the loop, at the latest 60 s after the clock has reached the
            token's `exp`, and at once where nothing moved the clock.
    """

    __slots__ = ("_expires_at", "_on_expired", "_timer")

    def __init__(self, viewer: Viewer, on_expired: Callable[[], None]) -> None:
        self._expires_at = viewer.expires_at
        self._on_expired = on_expired
        self._timer: asyncio.TimerHandle | None = None
        if self._expires_at is not None:
            self._wait(self._expires_at)

    def cancel(self) -> None:
        """Call back no more: the connection is gone. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, expires_at: float) -> None:
        left = min(max(0.0, expires_at - time.time()), _LONGEST_WAIT_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(left, self._look, expires_at)

    def _look(self, expires_at: float) -> None:
        if time.time() < expires_at:
            self._wait(expires_at)
            return
        self._timer = None
        self._on_expired()
