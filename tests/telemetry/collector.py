"""A collector of traces: takes OTLP over HTTP as a real one does, and decodes it."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Collected", "Collector", "collecting"]


class Collected:
    """A span as the collector got it."""

    def __init__(self, span: Any) -> None:
        self.name: str = span.name
        self.kind: int = span.kind
        self.trace_id: str = span.trace_id.hex()
        self.id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.links: list[str] = [link.span_id.hex() for link in span.links]
        self.failed: bool = span.status.code == 2
        self.events: int = len(span.events)
        self.facts: dict[str, str | int] = {
            one.key: one.value.string_value or one.value.int_value for one in span.attributes
        }


class Collector:
    """What was sent to it.

    Attributes:
        url: where.
        raw: the bodies, decompressed.
    """

    def __init__(self) -> None:
        self.url = ""
        self.raw: list[bytes] = []
        self.resources: list[dict[str, str]] = []
        self._spans: list[Collected] = []
        self._came = threading.Condition()

    def take(self, body: bytes) -> None:
        """Take one request."""
        request = ExportTraceServiceRequest.FromString(body)
        with self._came:
            self.raw.append(body)
            for one in request.resource_spans:
                facts = {fact.key: fact.value.string_value for fact in one.resource.attributes}
                self.resources.append(facts)
                self._spans += [
                    Collected(span) for scope in one.scope_spans for span in scope.spans
                ]
            self._came.notify_all()

    def spans(self, name: str, number: int = 1) -> list[Collected]:
        """Wait until so many spans of a name have come, and return all of that name."""

        def named() -> list[Collected]:
            return [span for span in self._spans if span.name == name]

        with self._came:
            assert self._came.wait_for(lambda: len(named()) >= number, 10), (
                f"no {name} among {[span.name for span in self._spans]}"
            )
            return named()


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            collector.take(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
