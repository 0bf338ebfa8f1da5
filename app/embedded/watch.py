"""Watches the embedded Postgres, and starts it again when it died.

Each service watches the database that it uses; of several, the one that gets the lock first
starts it, and the others find it running. What is told apart:

    killed, crashed        started again at once
    ended in order         by `pg_ctl stop`, or because it could not recover: started again
                           after 2 s, which leave `pg_ctl restart` the time to do so. It stays
                           stopped only while no service uses it
    runs, does not answer  suspended, or the disk hangs: told in the log and left alone.
                           A second server on the same files is what must never be
    cannot start           tried again with growing pauses, each failure one line in the log

`EmbeddedPostgres.stop` needs no coordination: it stops the server for the last service only,
and that one has ended its watch.
"""

import logging
import random
import threading
import time
from types import TracebackType
from typing import Final, Self

import psutil

from app.embedded.postgres import EmbeddedPostgres, Revival
from app.embedded.programs import ProgramFailure
from app.errors import ConfigurationError
from app.telemetry.log_fields import event

__all__ = ["DatabaseWatch"]

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.2
"""How often the server's process is looked for."""
_ASK_SECONDS: Final = 5.0
"""How often a server that runs is asked for a sign of life."""
_ANSWER_SECONDS: Final = 2.0
_ORDER_SECONDS: Final = 2.0
"""How long a server that ended in order is left to whoever ended it."""
_LEAST_PAUSE_SECONDS: Final = 0.25
_MOST_PAUSE_SECONDS: Final = 15.0
_MOST_RELAPSES: Final = 3
"""A server that starts, and dies young, is waited with for 2 s at the most."""
_STEADY_SECONDS: Final = 3.0
"""A server that lived this long is started again at once; one that died younger after a pause."""


class DatabaseWatch:
    """A thread that keeps the database of one service running, from `start` to `stop`.

    Args:
        database: started.
    """

    def __init__(self, database: EmbeddedPostgres) -> None:
        self._database = database
        self._ending = threading.Event()
        self._failures = 0
        # Where the process ends while PostgreSQL starts, nobody waits for this thread.
        self._thread = threading.Thread(target=self._watch, name="database watch", daemon=True)

    def start(self) -> None:
        """Begin to watch; once."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch; a start of the database that is under way is waited for. Idempotent."""
        self._ending.set()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _watch(self) -> None:
        while not self._ending.is_set():
            try:
                self._attend()
                self._bring_back()
            except OSError as error:
                # No file descriptor or no memory left, say: that tells nothing of the database.
                logger.error(
                    "the embedded database cannot be watched now: %s",
                    error,
                    extra=event("embedded.not_watched"),
                )
                self._failures += 1
                self._ending.wait(self._pause())
            except Exception:
                # A defect of ours must not leave the database unwatched.
                logger.exception("watching the embedded database failed; going on")
                self._failures += 1
                self._ending.wait(self._pause())

    def _attend(self) -> None:
        """Return when the server does not run, or the watch is to end."""
        began = time.monotonic()
        silent_since: float | None = None
        while (process := self._database.process()) is not None:
            ask_at = time.monotonic() + _ASK_SECONDS
            while time.monotonic() < ask_at and _lives(process):
                if self._ending.wait(_LOOK_SECONDS):
                    return
                if time.monotonic() - began > _STEADY_SECONDS:
                    self._failures = 0
            silent_since = self._ask(silent_since)

    def _ask(self, silent_since: float | None) -> float | None:
        asked = time.monotonic()
        if self._database.answers(_ANSWER_SECONDS):
            if silent_since is not None:
                logger.warning(
                    "the embedded database answers again after %.1f s",
                    asked - silent_since,
                    extra=event("embedded.answers", seconds=asked - silent_since),
                )
            return None
        if silent_since is None and self._database.process() is not None:
            logger.error(
                "the embedded database runs but does not answer within %g s: it is suspended or "
                "its disk hangs; it is waited for, not restarted",
                _ANSWER_SECONDS,
                extra=event("embedded.silent"),
            )
            return asked
        return silent_since

    def _bring_back(self) -> None:
        """Return when the server runs again, or the watch is to end."""
        if self._ending.is_set():
            return
        found = time.monotonic()
        if self._database.ended_in_order():
            logger.warning(
                "the embedded database ended, or was stopped; it is started again in %g s unless "
                "somebody else does. To keep it stopped, stop the service",
                _ORDER_SECONDS,
                extra=event("embedded.ended"),
            )
            while self._database.process() is None and time.monotonic() - found < _ORDER_SECONDS:
                if self._ending.wait(_LOOK_SECONDS):
                    return
        else:
            logger.error(
                "the embedded database died; starting it again", extra=event("embedded.died")
            )
        while not self._ending.wait(self._pause()):
            outcome = self._try()
            if outcome is Revival.LET_GO:
                self._ending.set()
            elif outcome in {Revival.STARTED, Revival.RUNNING}:
                logger.warning(
                    "the embedded database is back after %.1f s, started by %s",
                    time.monotonic() - found,
                    "this process" if outcome is Revival.STARTED else "another process",
                    extra=event("embedded.back", seconds=time.monotonic() - found),
                )
                # Until it has lived for a while: one that dies again at once is not hurried.
                self._failures = min(self._failures + 1, _MOST_RELAPSES)
                return

    def _try(self) -> Revival | None:
        """Try to start it once; None: it cannot start now, as the log says."""
        while (outcome := self._revived()) is Revival.BUSY:
            if self._ending.wait(_LOOK_SECONDS):
                return Revival.LET_GO
        return outcome

    def _revived(self) -> Revival | None:
        try:
            return self._database.revive()
        except ConfigurationError as error:
            self._failures += 1
            logger.error(
                "%s (tried again in at most %g s)",
                error.summary if isinstance(error, ProgramFailure) else error,
                self._most_pause(),
                extra=event("embedded.not_started"),
            )
            return None

    def _most_pause(self) -> float:
        if not self._failures:
            return 0.0
        return float(min(_LEAST_PAUSE_SECONDS * 2 ** min(self._failures, 10), _MOST_PAUSE_SECONDS))

    def _pause(self) -> float:
        # Jitter: services that share a database do not all try in the same moment.
        most = self._most_pause()
        return random.uniform(most / 2, most)  # noqa: S311 - not a secret


def _lives(process: psutil.Process) -> bool:
    # A tenth of the cost of finding the server anew.
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
