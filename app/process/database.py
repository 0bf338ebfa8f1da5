"""The database of a command: an external one, or the embedded one held and watched meanwhile."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from app.config import Settings
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.watch import DatabaseWatch
from app.errors import ConfigurationError, DatabaseUnreachable
from app.setting_names import PREFIX
from app.storage.migrations import check_schema
from app.storage.migrations import migrate as migrate_schema
from app.telemetry.log_fields import event

__all__ = ["ServiceDatabase"]

_logger = logging.getLogger(__name__)


class ServiceDatabase:
    """The database of a command: an external one, or the embedded one held and watched."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedded = (
            EmbeddedPostgres(settings.data_dir) if settings.database_url is None else None
        )
        self._watch = None if self._embedded is None else DatabaseWatch(self._embedded)
        self.end_by: float | None = None
        """When this process must be gone, as `time.monotonic` tells it; None: no hurry."""

    def __enter__(self) -> "ServiceDatabase":
        if self._embedded is not None and self._watch is not None:
            self._embedded.start()
            self._watch.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._embedded is None:
            return
        if self.end_by is None:
            self._let_go()
            return
        # Another SIGTERM must not cut this short. A database that takes longer than there is
        # time for was told to stop, and does so without us.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        stopping = threading.Thread(target=self._let_go, daemon=True)
        stopping.start()
        stopping.join(max(0.5, self.end_by - time.monotonic()))

    def _let_go(self) -> None:
        if self._embedded is not None and self._watch is not None:
            # First the watch: it would take the end for a death.
            self._watch.stop()
            try:
                self._embedded.stop()
            except (ConfigurationError, OSError) as error:
                _logger.error(
                    "the embedded database could not be stopped: %s",
                    error,
                    extra=event("embedded.not_stopped"),
                )

    def prepare(self, *, migrate: bool) -> Settings:
        """Return settings that name the database, its schema known to fit.

        A database that takes no connections yet is waited for.

        Raises:
            DatabaseUnreachable: it stayed away for `database_wait_seconds`.
            ConfigurationError: it does not fit.
        """
        if self._embedded is not None:
            os.environ[f"{PREFIX}DATABASE_URL"] = self._embedded.url
        settings = Settings()
        assert settings.database_url is not None
        step = migrate_schema if migrate or self._embedded is not None else check_schema
        asyncio.run(_when_reachable(step, settings.database_url, settings.database_wait_seconds))
        return settings


async def _when_reachable(
    step: Callable[[str], Awaitable[None]], url: str, wait_seconds: float
) -> None:
    """Carry out `step` on the database as soon as it takes connections."""

    def tell(state: RetryCallState) -> None:
        # Once a reason: refused at first, then starting, say.
        assert state.outcome is not None
        reason = str(state.outcome.exception())
        if reason != told[-1]:
            told.append(reason)
            _logger.warning(
                "%s; waiting for it, %g s at the most",
                reason,
                wait_seconds,
                extra=event("database.waited_for", what="start"),
            )

    told = [""]
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(DatabaseUnreachable),
        stop=stop_after_delay(wait_seconds),
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        before_sleep=tell,
        reraise=True,
    ):
        with attempt:
            await step(url)
