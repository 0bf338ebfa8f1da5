"""How one kind of server is started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Launch", "LeftOutError"]


class LeftOutError(Exception):
    """A rival cannot be run on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A server's command line and what it is told."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's."""
    port: int | None = None
    """Where it will listen; None: it prints `ready on http://…:port`."""
    workers_are_children: bool = False
    """Whether its work is done by its child processes even where there is one worker."""
