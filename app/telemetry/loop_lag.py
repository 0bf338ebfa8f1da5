"""How late the event loop is: what everybody on it waits for, whatever they asked."""

import asyncio
from typing import Final

from app.telemetry.histogram import Histogram

__all__ = ["LAG_SECONDS", "LoopLag"]

_INTERVAL_SECONDS: Final = 0.25
LAG_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoopLag:
    """Looks four times a second how much later a timer fires than it should.

    Args:
        interval_seconds: between two looks.
    """

    def __init__(self, interval_seconds: float = _INTERVAL_SECONDS) -> None:
        self.seconds = Histogram(LAG_SECONDS)
        self._interval = interval_seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look; on the loop."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval, self._look, loop.time() + self._interval)

    def stop(self) -> None:
        """Look no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, due: float) -> None:
        # uvloop's timers are a millisecond early at times.
        self.seconds.observe(max(0.0, asyncio.get_running_loop().time() - due))
        self.start()
