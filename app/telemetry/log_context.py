"""Whose log lines are being written: the connection and the request that a task works for.

A task's children inherit its variables, and some outlive it and serve everybody: a writer, a feed.
So the ids hold for the very task that set them, until its request is over.
"""

import asyncio
from contextvars import ContextVar
from typing import Final

__all__ = ["LogContext", "log_context"]


class LogContext:
    """The request that a task works for; make it in a task of its own.

    Args:
        connection_id: of the connection that it came on.
        request: its id, or its number on the connection: then the id is made of both, if
            somebody wants it.
    """

    __slots__ = ("_request", "_task", "connection_id")

    def __init__(self, connection_id: str, request: str | int) -> None:
        self.connection_id = connection_id
        self._request = request
        # An address, so that nothing is kept alive; no other task has it while this one lives.
        self._task: int | None = id(asyncio.current_task())
        _context.set(self)

    @property
    def request_id(self) -> str:
        """The id of the request."""
        request = self._request
        return request if isinstance(request, str) else f"{self.connection_id}-{request}"

    def end(self) -> None:
        """The request is over. Idempotent."""
        self._task = None

    def is_of(self, task: object) -> bool:
        """Return whether `task` is the one that works for the request, and still does."""
        return self._task == id(task)


_context: Final[ContextVar[LogContext | None]] = ContextVar("log_context", default=None)


def log_context() -> LogContext | None:
    """Return the request that the running task works for; None: it works for none, or for all."""
    context = _context.get()
    if context is None:
        return None
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None  # A thread without a loop.
    return context if task is not None and context.is_of(task) else None
