"""The keys that an issuer publishes, as this process knows them now.

Fetched at the start and every five minutes by one task; a token that names an unknown key has
them fetched at once, at most once a minute, and all who wait share that. When a fetch fails, the
last good set goes on holding. A key that the issuer has taken out of its set is not trusted from
the next fetch on.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from app.delivery.supervision import keep_running
from app.telemetry.log_fields import event
from app.telemetry.logs import LogThrottle
from app.transports.auth.jwks import KeySet, NoKeySetError
from app.transports.auth.jwks_fetch import FetchFailedError

__all__ = ["IssuedKeys"]

logger = logging.getLogger(__name__)

_REFRESH_SECONDS: Final = 300.0
_RETRY_SECONDS: Final = 15.0
"""After a fetch that failed."""
_ASKED_SECONDS: Final = 60.0
"""Between two fetches that tokens with unknown keys cause."""


class IssuedKeys:
    """The key set of one address.

    Args:
        name: of the address, for the log.
        fetch: returns the set's text, within seconds; raises `FetchFailedError`.
        refresh_seconds: between two fetches.
        retry_seconds: after one that failed.
        asked_seconds: before a token may cause another one.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        refresh_seconds: float = _REFRESH_SECONDS,
        retry_seconds: float = _RETRY_SECONDS,
        asked_seconds: float = _ASKED_SECONDS,
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._refresh_seconds = refresh_seconds
        self._retry_seconds = retry_seconds
        self._asked_seconds = asked_seconds
        self._began = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[NoReturn] | None = None
        self._failures = LogThrottle(others="other reasons")
        self._told: tuple[int, int] | None = None
        self.keys = KeySet()
        """The last good set; empty until there was one."""
        self.failing = True
        """Whether the last fetch failed, or there was none yet."""
        self.on_withdrawn: Callable[[], None] = lambda: None
        """Called when a key is trusted no more."""

    def start(self) -> None:
        """Begin to fetch, now and again; whatever becomes of it, the service goes on."""
        self._keeper = asyncio.create_task(
            keep_running("refresh of the keys for tokens", self._keep), name="keys for tokens"
        )

    async def stop(self) -> None:
        """Fetch no more. Idempotent."""
        tasks = [task for task in (self._keeper, self._fetching) if task is not None]
        self._keeper = self._fetching = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def may_change(self) -> bool:
        """Whether it helps to wait for `refreshed`: keys are being fetched, or may be again."""
        return self._fetching is not None or time.monotonic() - self._began >= self._asked_seconds

    async def refreshed(self) -> None:
        """Wait for the fetch that is under way, or for a new one. Never fails."""
        if self._fetching is None:
            self._began = time.monotonic()
            self._fetching = asyncio.create_task(self._refresh(), name="fetch keys for tokens")
        # Whoever gives up waiting ends it for nobody.
        await asyncio.shield(self._fetching)

    async def _keep(self) -> NoReturn:
        while True:
            await self.refreshed()
            wait = self._retry_seconds if self.failing else self._refresh_seconds
            # Processes that started together need not come together for ever.
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    async def _refresh(self) -> None:
        try:
            self._take(KeySet.of(await self._fetch()))
        except (FetchFailedError, NoKeySetError) as error:
            self._fail(str(error))
        except Exception:
            logger.exception("fetching the keys for tokens from %s failed", self._name)
            self._fail("an error of the service")
        finally:
            self._fetching = None

    def _take(self, keys: KeySet) -> None:
        withdrawn = keys.lacks_any_of(self.keys)
        recovered, self.failing = self.failing, False
        self.keys = keys
        if withdrawn:
            self.on_withdrawn()
        counts = (len(keys), keys.unusable)
        if recovered or withdrawn or counts != self._told:
            self._told = counts
            level = logging.INFO if keys else logging.WARNING
            logger.log(
                level,
                "%s has %d keys for tokens (%d others are of no use)",
                self._name,
                *counts,
                extra=event("keys.fetched", keys=counts[0]),
            )

    def _fail(self, reason: str) -> None:
        self.failing = True
        line = self._failures.admit(reason[:200])
        if line is not None:
            logger.warning(
                "the keys for tokens could not be fetched from %s: %s; %s%s",
                self._name,
                line.key,
                "the last ones hold" if self.keys else "tokens of that issuer wait for them",
                line.more,
                extra=event("keys.not_fetched", reason=line.key, withheld=line.withheld),
            )
