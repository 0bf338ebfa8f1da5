"""A time of day that a test moves, for whoever waits for the end of a token."""

import asyncio
import time

import pytest

from app.transports import expiry

__all__ = ["Clock"]


class Clock:
    """The clock of `app.transports.expiry`; elapsed time, and all others' clocks, go on as ever.

    Args:
        monkeypatch: of the test, whose loop is running.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moved = 0.0
        """Seconds; set it."""
        self._looked = asyncio.Event()
        monkeypatch.setattr(expiry, "_LONGEST_WAIT_SECONDS", 0.001)
        monkeypatch.setattr(expiry, "time", self)
        # What waits already has a longer timer.
        expiry._Ends.here()._wait()

    def time(self) -> float:
        """Return the time of day, as the module asks for it."""
        self._looked.set()
        return time.time() + self.moved

    async def looked_at(self, times: int = 3) -> None:
        """Wait until it was read again."""
        async with asyncio.timeout(10):
            for _ in range(times):
                self._looked.clear()
                await self._looked.wait()
