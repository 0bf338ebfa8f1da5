"""What went wrong with the database, told to the operator without flooding the log.

An outage fails every statement of every client. One line for each cause says it; while it
lasts, one more line every ten seconds says how often.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.telemetry.log_fields import event

__all__ = ["Incidents"]

logger = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 10.0


@dataclass(slots=True)
class _Told:
    at: float
    untold: int = 0


class Incidents:
    """The failures of one process's connections.

    Args:
        every_seconds: the shortest time between two log lines about one cause.
    """

    def __init__(self, every_seconds: float = _EVERY_SECONDS) -> None:
        self._every = every_seconds
        self._told: dict[str, _Told] = {}
        self.lost_since: float | None = None
        """Since when it is told to be lost, as `time.monotonic` tells it; None: it is not."""
        self.refusal: str | None = None
        """Why the database refused a statement that it should carry out; None: it did not.

        Whoever finds that it carries out such statements again sets this to None.
        """

        self.silences = 0
        """How often it neither answered nor ended a connection: others may be as dead."""

    def lost(self, kind: str, *, silent: bool = False) -> None:
        """Take note that the database could not be reached.

        Args:
            kind: the class of the error: one outage has several, one after another.
            silent: whether nothing was heard of it, not even an end.
        """
        self.silences += silent
        text = f"the database is not reachable ({kind})"
        told = self._tell("lost", text, event("database.lost", kind=kind))
        # Its end is told if it was: a connection that comes and goes is not two lines each time.
        if told and self.lost_since is None:
            self.lost_since = time.monotonic()

    def answered(self) -> None:
        """Take note that the database carried out a statement after it was lost."""
        lost_since, self.lost_since = self.lost_since, None
        if lost_since is not None:
            seconds = time.monotonic() - lost_since
            logger.warning(
                "the database is back after %.1f s",
                seconds,
                extra=event("database.back", seconds=seconds),
            )

    def refused(self, reason: str) -> None:
        """Take note that the database answers and refuses to work.

        Args:
            reason: one of a few, such as `disk full`.
        """
        self.refusal = reason
        text = f"the database refuses to work: {reason}"
        self._tell(reason, text, event("database.refuses", reason=reason))

    def _tell(self, cause: str, text: str, extra: Mapping[str, object]) -> bool:
        now = time.monotonic()
        told = self._told.get(cause)
        if told is not None and now < told.at + self._every:
            told.untold += 1
            return False
        again = f" ({told.untold} more times since the last line)" if told and told.untold else ""
        logger.warning("%s%s", text, again, extra=extra)
        self._told[cause] = _Told(now)
        return True
