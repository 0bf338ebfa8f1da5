"""How long the event loop is held: the longest turn, in CPU time."""

import asyncio
import gc
import sys
import time
from types import TracebackType
from typing import Any, Self

__all__ = ["Turns"]


class Turns:
    """Measures each callback of this thread's event loop, for as long as it is entered.

    CPU time, not wall time: other work on the machine must not fail a test. Nor must the
    measuring of coverage, which takes as long as the code itself: it rests meanwhile.
    """

    def __init__(self) -> None:
        self.longest_seconds = 0.0

    def __enter__(self) -> Self:
        self._run = run = asyncio.Handle._run

        def measured(handle: asyncio.Handle) -> Any:
            began = time.thread_time()
            try:
                return run(handle)
            finally:
                self.longest_seconds = max(self.longest_seconds, time.thread_time() - began)

        asyncio.Handle._run = measured  # type: ignore[method-assign, assignment]
        # A full collection takes longer than any turn, and is none of the code's.
        gc.collect()
        self._trace = sys.gettrace()
        sys.settrace(None)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        sys.settrace(self._trace)
        asyncio.Handle._run = self._run  # type: ignore[method-assign]
