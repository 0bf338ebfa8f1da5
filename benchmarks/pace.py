"""When the load publishes: as fast as deliveries allow, or on time."""

from dataclasses import dataclass
from typing import Final, Protocol

from benchmarks.subscribers import Subscribers

__all__ = ["MAX_WAIT_SECONDS", "Pace", "Rate", "Window"]

MAX_WAIT_SECONDS: Final = 0.2


class Pace(Protocol):
    """When to publish; times are seconds since the measurement began."""

    def owed(self, elapsed: float) -> int:
        """How many publishes should be sent now, none if not above 0."""

    def sent_at(self, number: int, elapsed: float) -> float:
        """When publish `number` counts as sent, it being `elapsed` now."""

    def wait(self, elapsed: float) -> float:
        """How long nothing will be owed unless something arrives."""


@dataclass(frozen=True, slots=True)
class Window:
    """As fast as a number of undelivered messages allows."""

    subscribers: Subscribers
    size: int

    def owed(self, elapsed: float) -> int:  # noqa: ARG002 - time does not matter
        return self.size - (len(self.subscribers.sent_at) - self.subscribers.delivered)

    def sent_at(self, number: int, elapsed: float) -> float:  # noqa: ARG002
        return elapsed

    def wait(self, elapsed: float) -> float:  # noqa: ARG002
        return MAX_WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class Rate:
    """On time, whatever has been delivered."""

    subscribers: Subscribers
    per_second: float

    def owed(self, elapsed: float) -> int:
        return int(elapsed * self.per_second) + 1 - len(self.subscribers.sent_at)

    def sent_at(self, number: int, elapsed: float) -> float:  # noqa: ARG002 - late counts as due
        return number / self.per_second

    def wait(self, elapsed: float) -> float:
        return max(0.0, len(self.subscribers.sent_at) / self.per_second - elapsed)
