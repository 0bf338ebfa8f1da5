"""How long messages take from their commit to the sockets of those who listen.

Measured once for all members of a channel, when the last of them has been written to. In the
process that stored the messages the time counts from their commit, by a clock that is never
set. In the others it counts from `created`, which the database gives right before the commit:
so it has the commit in it, and the difference of the two machines' clocks.
"""

import time
from collections.abc import Callable
from functools import partial

from app.domain.entry import Entry, PolicyChange
from app.telemetry.histogram import Histogram

__all__ = ["DeliveryTimes"]


class DeliveryTimes:
    """Those of one process.

    Args:
        after_writes: calls something once all that was given to sockets is written.
    """

    __slots__ = ("_after_writes", "committed_at", "elsewhere", "here")

    def __init__(
        self, after_writes: Callable[[Callable[[], None]], None] = lambda call: call()
    ) -> None:
        self.here = Histogram()
        """Of what this process has stored, and of what it was given that is not to be stored."""
        self.elsewhere = Histogram()
        """Of what another process has stored."""
        self._after_writes = after_writes
        self.committed_at: float | None = None
        """When what is dispatched now was committed here, by `time.monotonic`; None: elsewhere."""

    def given(self, newest: Entry) -> None:
        """Take note that members were just given entries.

        Args:
            newest: the last of them.
        """
        began, histogram = self.committed_at, self.here
        if began is None:
            if isinstance(newest, PolicyChange):
                return
            age = time.time() - newest.created / 1000
            began, histogram = time.monotonic() - age, self.elsewhere
        self._after_writes(partial(histogram.observe_since, began))
