"""Whether operations are traced, and by what.

Without `WIDGETWIRE_TRACING` nothing of OpenTelemetry is loaded, and each place that could record
something asks one `is None`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.telemetry.recorder import TraceRecorder

__all__ = ["TRACES", "Traces", "exported"]


class Traces:
    """Where spans of this process go."""

    __slots__ = ("recorder",)

    def __init__(self) -> None:
        self.recorder: TraceRecorder | None = None
        """None: nothing is traced."""


TRACES: Final = Traces()
"""One for the process, like the log: what it records passes all parts."""


@asynccontextmanager
async def exported() -> AsyncIterator[None]:
    """Trace, and send the spans to a collector, as the `OTEL_*` variables say.

    At the end what waits is sent, for half a second at the most.
    """
    from app.telemetry.exporter import SpanExport  # noqa: PLC0415  (of an extra)
    from app.telemetry.recorder import TraceRecorder  # noqa: PLC0415

    export = SpanExport()
    TRACES.recorder = TraceRecorder(export.tracer)
    try:
        yield
    finally:
        TRACES.recorder = None
        await export.stop()
