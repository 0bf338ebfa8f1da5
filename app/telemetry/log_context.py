"""Whose log lines are being written: the connection and the request that a task works for.

Not a context variable: those are inherited, and some tasks that a request begins outlive it and
serve everybody, a writer, a feed. So the ids hold for the very task that works for the request.
"""

import asyncio
from typing import Any, Final, NamedTuple, Protocol

__all__ = ["WORKING", "Asked", "NumberedRequest", "log_context"]


class Asked(Protocol):
    """A request that a task works for."""

    @property
    def connection_id(self) -> str:
        """Of the connection that it came on."""

    @property
    def request_id(self) -> str:
        """Its own."""


class NumberedRequest(NamedTuple):
    """A request that is known by its number on the connection."""

    connection_id: str
    number: int

    @property
    def request_id(self) -> str:
        """Made of both."""
        return f"{self.connection_id}-{self.number}"


WORKING: Final[dict["asyncio.Task[Any]", Asked]] = {}
"""What tasks work for. Whoever makes a task for a request puts it in, and takes it out when the
task is done: a log line asks for it, so that a request without one pays for nothing else."""


def log_context() -> Asked | None:
    """Return the request that the running task works for; None: it works for none, or for all."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None  # A thread without a loop.
    return None if task is None else WORKING.get(task)
