"""Whether this process lives, and whether it should be sent work.

`/healthz/live` answers 200 while the event loop turns. `/healthz/ready` asks every part it
was given and answers 503, naming what is wrong, unless all are well.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.errors import Unavailable
from app.telemetry.log_fields import event
from app.wire.outcomes import OUTCOMES

__all__ = ["Health", "Probe"]

Probe = Callable[[], Awaitable[str | None]]
"""Returns None when the part is well, else what is wrong, in words fit for a client."""

_logger = logging.getLogger(__name__)
_NO_STORE = {"cache-control": "no-store"}


class Health:
    """The two health endpoints.

    Args:
        probes: what readiness depends on, by name (`database`, `bus`, `draining`, ...).
        timeout_seconds: a probe that takes longer counts as failed.
        fresh_seconds: what a round found is told again for so long, however often it is asked.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        *,
        timeout_seconds: float = 2.0,
        fresh_seconds: float = 0.2,
    ) -> None:
        self._probes = dict(probes)
        self._timeout_seconds = timeout_seconds
        self._fresh_seconds = fresh_seconds
        self._stale_at = 0.0
        self._round: asyncio.Task[dict[str, str | None]] | None = None

    def routes(self) -> list[Route]:
        """Return `/healthz/live` and `/healthz/ready`."""
        return [
            Route("/healthz/live", self._live, methods=["GET"]),
            Route("/healthz/ready", self._ready, methods=["GET"]),
        ]

    async def check(self) -> dict[str, str | None]:
        """Return each part's state: None when well, else what is wrong.

        Callers at nearly the same time share one round of probes, so that asking often costs the
        database nothing more.
        """
        if self._round is None or (self._round.done() and time.monotonic() >= self._stale_at):
            self._round = asyncio.create_task(self._ask_all(), name="health probes")
        # A caller that hangs up must not cancel the round of the others.
        return await asyncio.shield(self._round)

    async def _ask_all(self) -> dict[str, str | None]:
        states = await asyncio.gather(
            *(self._ask(name, probe) for name, probe in self._probes.items())
        )
        self._stale_at = time.monotonic() + self._fresh_seconds
        return dict(zip(self._probes, states, strict=True))

    async def _ask(self, name: str, probe: Probe) -> str | None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await probe()
        except TimeoutError:
            return f"no answer within {self._timeout_seconds:g} s"
        except Exception:
            _logger.warning(
                "the health probe %r failed",
                name,
                exc_info=True,
                extra=event("health.failed", check=name),
            )
            return "the check itself failed"

    async def _live(self, _request: Request) -> JSONResponse:
        return JSONResponse({"status": "live"}, headers=_NO_STORE)

    async def _ready(self, _request: Request) -> JSONResponse:
        states = await self.check()
        ready = all(state is None for state in states.values())
        return JSONResponse(
            {
                "status": "ready" if ready else "not ready",
                "checks": {name: state or "ok" for name, state in states.items()},
            },
            status_code=200 if ready else OUTCOMES[Unavailable].status,
            headers=_NO_STORE,
        )
