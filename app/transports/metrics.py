"""`/metrics`: what the workers of this service have measured, as Prometheus reads it."""

import asyncio
import hmac
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app import setting_names
from app.errors import Unauthenticated
from app.telemetry.measured import Metric, exposition, format_for
from app.telemetry.workers import Workers
from app.wire.outcomes import OUTCOMES

__all__ = ["MetricsPage"]

_NO_STORE: Final = {"cache-control": "no-store"}


class MetricsPage:
    """The endpoint that Prometheus scrapes.

    Args:
        metrics: all there are.
        workers: are asked for what they have measured.
        token: what a scrape must bring as `Authorization: Bearer …`; None: nothing.
    """

    def __init__(
        self, metrics: Sequence[Metric], workers: Workers, token: str | None = None
    ) -> None:
        self._metrics = metrics
        self._workers = workers
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._making: dict[str, asyncio.Task[tuple[bytes, str]]] = {}
        """Answers that are being made, by their format."""

    def route(self) -> Route:
        """Return `/metrics`."""
        return Route("/metrics", self._answer, methods=["GET"])

    async def _answer(self, request: Request) -> Response:
        if not self._may_see(request.headers.get("authorization", "")):
            outcome = OUTCOMES[Unauthenticated]
            return PlainTextResponse(
                f"Authentication required: send the token of {setting_names.METRICS_TOKEN} as "
                "Authorization: Bearer\n",
                outcome.status,
                outcome.headers | _NO_STORE,
            )
        text, media_type = await self._answer_in(format_for(request.headers.get("accept", "")))
        return Response(text, headers={"content-type": media_type} | _NO_STORE)

    def _may_see(self, authorization: str) -> bool:
        if self._expected is None:
            return True
        return hmac.compare_digest(authorization.encode("latin-1"), self._expected)

    async def _answer_in(self, form: str) -> tuple[bytes, str]:
        """Return an answer; those who ask while it is made share it: it takes one thread."""
        making = self._making.get(form)
        if making is None:
            making = self._making[form] = asyncio.create_task(self._made(form), name="metrics")
            making.add_done_callback(lambda _: self._making.pop(form))
        # Whoever hangs up must not take it from the others.
        return await asyncio.shield(making)

    async def _made(self, form: str) -> tuple[bytes, str]:
        readings = await self._workers.readings()
        # Some 2 ms a worker, 4 ms in OpenMetrics: the loop goes on meanwhile.
        return await asyncio.to_thread(exposition, self._metrics, readings, form)
