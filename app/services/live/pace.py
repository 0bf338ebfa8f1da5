"""The pace of a long replay: that of its reader, within reason.

What is published live waits for a reader up to a bound in bytes. A replay can be longer
than any bound, so it waits itself, and gives up only on a reader that reads nothing at all.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from app.errors import SubscriberTooSlow

__all__ = ["Pace"]

_WRITE_BYTES: Final = 64 * 1024
"""Written before the reader is waited for."""
_STALL_SECONDS: Final = 30.0


class Pace:
    """Counts what is written and waits for the reader from time to time."""

    __slots__ = ("_drained", "_written")

    def __init__(self, drained: Callable[[], Awaitable[None]]) -> None:
        """Take what waits until nothing waits for the reader any more."""
        self._drained = drained
        self._written = 0

    async def wrote(self, size: int) -> None:
        """Take note of `size` bytes written; wait after each 64 KiB.

        Raises:
            SubscriberTooSlow: the reader took nothing for 30 s.
        """
        self._written += size
        if self._written >= _WRITE_BYTES:
            await self.wait()

    async def wait(self) -> None:
        """Wait until the reader has what was written.

        Raises:
            SubscriberTooSlow: it took nothing for 30 s.
        """
        self._written = 0
        try:
            async with asyncio.timeout(_STALL_SECONDS):
                await self._drained()
        except TimeoutError:
            raise SubscriberTooSlow(f"nothing was read for {_STALL_SECONDS:g} s") from None
