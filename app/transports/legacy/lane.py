"""A lane: the calls of one kind on one socket. Some run, some wait, the rest are refused."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from app.telemetry.log_context import WORKING, Asked

__all__ = ["Call", "Lane"]

Call: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""Starts one call; what it makes must not raise."""


class Lane:
    """Runs calls at once, starting them in the order they came."""

    def __init__(
        self,
        running_max: int,
        waiting_max: int,
        *,
        weight_max: int = 1,
        on_change: Callable[[], None] = lambda: None,
        asked: Callable[[], Asked] | None = None,
    ) -> None:
        """Make an empty lane.

        Args:
            running_max: calls that run at the same time.
            waiting_max: calls that wait for one of those to end; more are refused.
            weight_max: no further call starts while those that run weigh as much.
            on_change: told after each call that ended; must not raise.
            asked: gives each call the ids that its log lines have; None: they have none.
        """
        self._running_max = running_max
        self._waiting_max = waiting_max
        self._weight_max = weight_max
        self._on_change = on_change
        self._asked = asked
        self._waiting: deque[tuple[Call, int]] = deque()
        self._running: dict[asyncio.Task[None], int] = {}
        self._weight = 0

    @property
    def full(self) -> bool:
        """Whether the next call would have to wait."""
        return len(self._running) >= self._running_max or self._weight >= self._weight_max

    @property
    def busy(self) -> bool:
        """Whether any call runs; none waits otherwise."""
        return bool(self._running)

    def submit(self, call: Call, weight: int = 0) -> bool:
        """Start `call`, now or later; False: refused, too many wait."""
        if not self.full:
            self._start(call, weight)
        elif len(self._waiting) < self._waiting_max:
            self._waiting.append((call, weight))
        else:
            return False
        return True

    async def finished(self) -> None:
        """Return once nothing runs and nothing waits."""
        while self._running:
            await asyncio.wait(self._running)

    def cancel(self) -> None:
        """Cancel what runs and drop what waits. Idempotent."""
        self._waiting.clear()
        for task in self._running:
            task.cancel()

    def _start(self, call: Call, weight: int) -> None:
        task = asyncio.create_task(call())
        self._running[task] = weight
        if self._asked is not None:
            WORKING[task] = self._asked()
        self._weight += weight
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._weight -= self._running.pop(task)
        WORKING.pop(task, None)
        while self._waiting and not self.full:
            self._start(*self._waiting.popleft())
        self._on_change()
