"""What took long, in the log: once a minute for each channel, and for commits.

Never what was searched for or published: where, how long, and how much.
"""

import logging
from typing import Final

from app.telemetry.log_fields import event
from app.telemetry.logs import LogThrottle

__all__ = ["log_slow_commit", "log_slow_search"]

_log: Final = logging.getLogger(__name__)
_throttle = LogThrottle(others="other channels")
_COMMITS: Final = " commits"
"""No channel's key: those have no spaces."""


def log_slow_search(channel: str, *, seconds: float, waited_seconds: float, messages: int) -> None:
    """Log that a statement of a search took long.

    Args:
        channel: its key.
        seconds: that it ran.
        waited_seconds: for its turn before.
        messages: that it might read, as it was estimated.
    """
    line = _throttle.admit(channel)
    if line is not None:
        _log.warning(
            "a search took %.1f s, and had waited for %.1f s%s",
            seconds,
            waited_seconds,
            line.more,
            extra=event(
                "search.slow",
                channel=channel,
                seconds=seconds,
                waited_seconds=waited_seconds,
                messages=messages,
                withheld=line.withheld,
            ),
        )


def log_slow_commit(*, seconds: float, messages: int) -> None:
    """Log that a batch of messages took long to be stored.

    Args:
        seconds: of its statement, the commit included.
        messages: in the batch.
    """
    line = _throttle.admit(_COMMITS)
    if line is not None:
        _log.warning(
            "storing %d messages took %.1f s%s",
            messages,
            seconds,
            line.more,
            extra=event("commit.slow", messages=messages, seconds=seconds, withheld=line.withheld),
        )
