"""One opening for all who come while it lasts, and for all who come later."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

__all__ = ["SharedOpening"]

Result = TypeVar("Result")


class SharedOpening(Generic[Result]):
    """Opens once; an opening that failed is tried again by whoever comes next.

    Args:
        open_: what is opened.
    """

    __slots__ = ("_open", "_opening")

    def __init__(self, open_: Callable[[], Coroutine[Any, Any, Result]]) -> None:
        self._open = open_
        self._opening: asyncio.Task[Result] | None = None

    async def __call__(self) -> Result:
        """Return what the opening gave.

        Raises:
            Exception: what it raised, to all who shared it.
        """
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        opening = self._opening
        try:
            # Shielded: whoever gives up must not take it from the others.
            return await asyncio.shield(opening)
        except BaseException:
            if opening.done() and self._opening is opening:
                self._opening = None
            raise

    def cancel(self) -> None:
        """End one that is under way. Idempotent."""
        if self._opening is not None:
            self._opening.cancel()
