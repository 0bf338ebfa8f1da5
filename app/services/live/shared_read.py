"""One read for all who ask at once, and never one that began before the question."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["SharedRead"]

Result = TypeVar("Result")


class SharedRead(Generic[Result]):
    """Joins calls: while a read is under way, all that come share the next one.

    Args:
        read: what is read; one at a time is under way.
    """

    __slots__ = ("_next", "_read", "_running")

    def __init__(self, read: Callable[[], Awaitable[Result]]) -> None:
        self._read = read
        self._running: asyncio.Task[Result] | None = None
        self._next: asyncio.Task[Result] | None = None

    async def __call__(self) -> Result:
        """Return the result of a read that begins after this call.

        Raises:
            Exception: what the read raised, to all who shared it.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
            # Whoever waited for it may be gone: no warning about that.
            self._next.add_done_callback(lambda read: read.cancelled() or read.exception())
        # Shielded: whoever gives up must not take it from the others.
        return await asyncio.shield(self._next)

    def cancel(self) -> None:
        """End what is under way; whoever waits for it is cancelled too. Idempotent."""
        for task in (self._running, self._next):
            if task is not None:
                task.cancel()

    async def _after(self, running: "asyncio.Task[Result] | None") -> Result:
        if running is not None:
            await asyncio.wait({running})
        self._running, self._next = self._next, None
        try:
            return await self._read()
        finally:
            self._running = None
