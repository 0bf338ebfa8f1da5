"""A histogram that costs a look-up and two additions; Prometheus' form of it is made when asked."""

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

__all__ = ["SEARCH_SECONDS", "SECONDS", "Histogram"]

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds for what takes milliseconds when all is well, and at most 5 s."""
SEARCH_SECONDS: Final = (0.0025, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Upper bounds for searches, which may wait for their turn and then run for 10 s."""


class Histogram:
    """How often something took how long.

    Args:
        bounds: the upper bounds of the buckets, ascending, in seconds; what is longer than the
            last one has a bucket of its own.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many fell into each bucket, not added up."""
        self.total = 0.0
        """The sum of all that was observed, in seconds."""

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def observe_since(self, began: float) -> None:
        """Count one that began then, by `time.monotonic`, and ends now; at least 0 s."""
        self.observe(max(0.0, time.monotonic() - began))
