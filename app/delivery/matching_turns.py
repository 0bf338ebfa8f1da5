"""Turns: filters that may take long are asked one at a time, and the loop goes on in between.

A `CONTAINS` reads a text from end to end: for the largest one that is half a millisecond, for
every filter that is open. So whoever asks such filters takes a turn here for each. Together
they hold the loop for a moment only, and then leave it alone for as long.
"""

import asyncio
import time
from typing import Final

from app.domain.message import Message
from app.domain.query import CompiledFilters

__all__ = ["MatchingTurns"]

_MOMENT_SECONDS: Final = 0.01


class MatchingTurns:
    """One process's; who waits longest is next."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._spent = 0.0
        self.waiting_bytes = 0
        """Of all messages that wait in the process, counted by those who let them wait."""

    async def accept(self, filters: CompiledFilters, message: Message) -> bool:
        """Return whether the filters accept a message. May wait, also when it was quick."""
        async with self._lock:
            began = time.perf_counter()
            try:
                return filters.accept(message)
            finally:
                self._spent += time.perf_counter() - began
                if self._spent > _MOMENT_SECONDS:
                    rest, self._spent = self._spent, 0.0
                    await asyncio.sleep(rest)
