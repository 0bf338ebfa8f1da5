"""The export of spans: the service's name, and an end that nobody waits long for."""

import time

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from app.telemetry.exporter import SpanExport
from tests.telemetry.collector import collecting

pytestmark = pytest.mark.anyio


async def test_what_waits_is_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        export = SpanExport()
        export.tracer.start_span("last").end()
        await export.stop()
        assert len(collector.spans("last")) == 1
    (resource,) = collector.resources
    assert resource["service.name"] == "widgetwire"


async def test_a_collector_that_hangs_holds_no_process() -> None:
    class Hanging(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002
            time.sleep(2)
            return SpanExportResult.SUCCESS

    export = SpanExport(Hanging())
    export.tracer.start_span("last").end()
    began = time.monotonic()
    await export.stop()
    assert time.monotonic() - began < 1.5
