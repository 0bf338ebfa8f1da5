"""Sending spans to a collector: OTLP over HTTP, by OpenTelemetry's own SDK.

Its variables hold: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER` and
all others that the SDK knows. Spans wait in a bounded queue (`OTEL_BSP_MAX_QUEUE_SIZE`, 2,048) for
a thread of the SDK; what finds no room is dropped.
"""

import asyncio
import threading
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Tracer

__all__ = ["SpanExport"]

_NAME: Final = "widgetwire"
_LAST_SECONDS: Final = 0.5
"""For what waits when the process ends: it has to end in time whatever the collector does."""


class SpanExport:
    """The tracer of a process, and what sends its spans.

    Args:
        exporter: where they go; None: as `OTEL_EXPORTER_OTLP_*` say, else a collector on this
            machine (http://localhost:4318).
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        # The variables come last: they name the service otherwise, if somebody wants that.
        resource = Resource({"service.name": _NAME}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self.tracer: Tracer = self._provider.get_tracer(_NAME)

    async def stop(self) -> None:
        """Send what waits, for half a second at the most."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended.set)

        # A thread that keeps no process alive: a collector may take its time.
        threading.Thread(target=shut_down, daemon=True).start()
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                await ended.wait()
        except TimeoutError:
            pass
