"""What is recorded of requests, operations, statements and deliveries: spans of OpenTelemetry.

Names are those of its semantic conventions. Never a document, a variable, data, a user name, a
token or an error's text: error texts quote what came.

A message's way: the operation that published it → the commit of its batch, which is linked to all
operations that had a message in it → one span for its fan-out in each process, however many
receive it.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.errors import ErrorCode, WidgetwireError

__all__ = ["TraceRecorder"]

_PUBLISHED_MAX: Final = 1000
"""Sampled messages whose fan-out is still expected; the oldest goes first."""
_LINKS_MAX: Final = 128
"""Of one span: OpenTelemetry's own bound."""
_NAME_MAX: Final = 100
"""Characters of an operation's name, which is the client's."""
_FAILED: Final = b'{"errors":'
_CODE: Final = re.compile(rb'"code":"([A-Z_]+)"')
_CODE_WITHIN: Final = 4096
_CODES: Final = frozenset(ErrorCode)
_TARGET: Final = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+([a-z_]+)")
_TARGETS: Final = frozenset(
    {
        "bans", "channel_policies", "channels", "held_messages", "messages", "presence",
        "processes", "publish_held_messages", "publish_messages", "publish_paced_messages",
        "retractions", "rules",
    }
)  # fmt: skip
"""What a span may name of a statement: its text may have a path that a client asked for."""
_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()


class TraceRecorder:
    """Records spans. One a process; called on its event loop only.

    Args:
        tracer: makes them.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._published: OrderedDict[str, SpanContext] = OrderedDict()

    # Requests and operations.

    def request(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Span:
        """Begin the span of an HTTP request; a `traceparent` of it is the parent.

        Args:
            method: as it came.
            path: without the query.
            headers: names in lower case.
        """
        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in headers
            if name in (b"traceparent", b"tracestate")
        }
        # The path has ids of channels and of files: too many for a name.
        return self._tracer.start_span(
            method,
            _remote(carrier),
            SpanKind.SERVER,
            {"http.request.method": method, "url.path": path},
        )

    def answered(self, span: Span, status: int | None) -> None:
        """End the span of an HTTP request.

        Args:
            span: what `request` returned.
            status: of the answer; None: the client went away before.
        """
        if status is None:
            span.set_attribute("error.type", "client_gone")
        else:
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_attribute("error.type", str(status))
                span.set_status(Status(StatusCode.ERROR))
        span.end()

    def enter(self, span: Span) -> None:
        """Make a span the parent of what this task does from now on; for a task of its own."""
        contexts.attach(trace.set_span_in_context(span, contexts.Context()))

    def enter_remote(self, traceparent: object) -> None:
        """The same with the span of a client that its `traceparent` names; for a task of its own.

        Args:
            traceparent: what came; what is none begins a trace.
        """
        carrier = {"traceparent": traceparent} if isinstance(traceparent, str) else {}
        contexts.attach(_remote(carrier))

    @contextmanager
    def operation(self, kind: str, name: str | None) -> Iterator["Operation"]:
        """Record a GraphQL operation.

        Args:
            kind: query, mutation or subscription.
            name: of the operation.
        """
        request = trace.get_current_span()
        if request.get_span_context().is_valid and _is_left_out(request):
            # Samplers are asked once a request: to ask costs more than many an operation.
            yield Operation(request)
            return
        attributes = {"graphql.operation.type": kind}
        if name:
            attributes["graphql.operation.name"] = name[:_NAME_MAX]
        with self._current(kind, SpanKind.SERVER, attributes) as span:
            yield Operation(span)

    @contextmanager
    def call(self, kind: str, channel: str) -> Iterator["Operation"]:
        """Record what a legacy socket asks for: a trace of its own.

        Args:
            kind: publish, retract or search.
            channel: its key.
        """
        contexts.attach(contexts.Context())
        attributes = {"widgetwire.channel": channel}
        with self._current(f"legacy {kind}", SpanKind.SERVER, attributes) as span:
            yield Operation(span)

    # Storage.

    def current(self) -> SpanContext | None:
        """Return the span of whoever asks, if it is one that is recorded."""
        span = trace.get_current_span()
        return span.get_span_context() if span.is_recording() else None

    @contextmanager
    def commit(self, publishers: Sequence[SpanContext | None]) -> Iterator[None]:
        """Record the commit of a batch, if one of its messages is of an operation that is recorded.

        Args:
            publishers: for each message of the batch, the span of whoever published it.
        """
        recorded = _distinct(publishers)
        if not recorded:
            # The writer's task was begun by some publisher, and has its context.
            token = contexts.attach(contexts.Context())
            try:
                yield
            finally:
                contexts.detach(token)
            return
        parent = trace.set_span_in_context(trace.NonRecordingSpan(recorded[0]))
        with self._current(
            "commit",
            SpanKind.INTERNAL,
            {"widgetwire.batch.messages": len(publishers)},
            parent=parent,
            links=[Link(one) for one in recorded[1 : _LINKS_MAX + 1]],
        ):
            yield

    @contextmanager
    def statement(self, sql: str) -> Iterator[None]:
        """Record a statement of an operation that is recorded; of others nothing.

        Args:
            sql: nothing of it is in the span but its verb and its table.
        """
        if not trace.get_current_span().is_recording():
            yield
            return
        verb, summary = _summary(sql)
        attributes = {
            "db.system.name": "postgresql",
            "db.operation.name": verb,
            "db.query.summary": summary,
        }
        with self._current(summary, SpanKind.CLIENT, attributes):
            yield

    # Delivery.

    def published(
        self, message_ids: Sequence[str], publishers: Sequence[SpanContext | None]
    ) -> None:
        """Remember who published messages, until they are delivered.

        Args:
            message_ids: of what is about to be dispatched.
            publishers: the span of each one's publisher; None: it is not recorded.
        """
        for message_id, publisher in zip(message_ids, publishers, strict=True):
            if publisher is not None:
                self._published[message_id] = publisher
                if len(self._published) > _PUBLISHED_MAX:
                    self._published.popitem(last=False)

    def traceparents(self, message_ids: Iterable[str]) -> dict[str, str]:
        """Return what tells other processes who published, for messages that are recorded."""
        found = {}
        for message_id, publisher in self._known(message_ids):
            carrier: dict[str, str] = {}
            span = trace.NonRecordingSpan(publisher)
            _TRACE_CONTEXT.inject(carrier, trace.set_span_in_context(span, contexts.Context()))
            found[message_id] = carrier["traceparent"]
        return found

    def told(self, traceparents: Mapping[str, str]) -> None:
        """Take what `traceparents` returned in another process."""
        for message_id, traceparent in traceparents.items():
            context = _TRACE_CONTEXT.extract({"traceparent": traceparent}, contexts.Context())
            publisher = trace.get_current_span(context).get_span_context()
            if publisher.is_valid and publisher.trace_flags.sampled:
                self.published((message_id,), (publisher,))

    @contextmanager
    def fan_out(self, channel: str, message_ids: Iterable[str]) -> Iterator["FanOutSpan | None"]:
        """Record the fan-out of messages, if one of them is of an operation that is recorded.

        Args:
            channel: its key.
            message_ids: of what is given to the channel's groups.
        """
        recorded = _distinct([publisher for _, publisher in self._known(message_ids)])
        if not recorded:
            yield None
            return
        parent = trace.set_span_in_context(trace.NonRecordingSpan(recorded[0]), contexts.Context())
        span = self._tracer.start_span(
            "deliver",
            parent,
            SpanKind.PRODUCER,
            {"widgetwire.channel": channel},
            links=[Link(one) for one in recorded[1 : _LINKS_MAX + 1]],
        )
        try:
            yield FanOutSpan(span)
        finally:
            span.end()

    def _known(self, message_ids: Iterable[str]) -> list[tuple[str, SpanContext]]:
        published = self._published
        if not published:
            return []
        return [(one, published[one]) for one in message_ids if one in published]

    @contextmanager
    def _current(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        *,
        parent: contexts.Context | None = None,
        links: Sequence[Link] = (),
    ) -> Iterator[Span]:
        """Make a span the current one; an exception is an error of it, told by its kind alone."""
        span = self._tracer.start_span(name, parent, kind, attributes, links)
        token = contexts.attach(trace.set_span_in_context(span))
        try:
            yield span
        except BaseException as error:
            _failed(span, _kind(error))
            raise
        finally:
            contexts.detach(token)
            span.end()


class Operation:
    """An operation that is being recorded."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def answered(self, payload: bytes) -> None:
        """Take note of the response: whether it has errors, and the first one's code.

        Args:
            payload: the JSON text of a response.
        """
        if payload.startswith(_FAILED) and self._span.is_recording():
            # A code is looked for, and known: a text around it may be the client's.
            found = _CODE.search(payload, 0, _CODE_WITHIN)
            code = found[1].decode() if found is not None else ""
            self.failed(code if code in _CODES else "errors")

    def failed(self, error: str | BaseException) -> None:
        """Take note of an error that was answered.

        Args:
            error: a code, or what has one.
        """
        _failed(self._span, error if isinstance(error, str) else _kind(error))


class FanOutSpan:
    """A fan-out that is being recorded."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def given(self, groups: int, members: int) -> None:
        """Take note of how many are given something."""
        self._span.set_attributes({"widgetwire.groups": groups, "widgetwire.members": members})


def _remote(carrier: Mapping[str, str]) -> contexts.Context:
    """Return the context that a caller tells of; without one, that of a new trace."""
    return extract(carrier, contexts.Context()) if carrier else contexts.Context()


def _is_left_out(span: Span) -> bool:
    """Return whether a span is one of this process that its sampler did not choose."""
    return not span.is_recording() and not span.get_span_context().is_remote


def _distinct(spans: Iterable[SpanContext | None]) -> list[SpanContext]:
    return [*{one.span_id: one for one in spans if one is not None}.values()]


def _failed(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def _kind(error: BaseException) -> str:
    return error.code.value if isinstance(error, WidgetwireError) else type(error).__name__


@lru_cache(maxsize=512)
def _summary(sql: str) -> tuple[str, str]:
    """Return a statement's verb, and the verb with the table that it is about."""
    verb = sql.split(None, 1)[0].upper()[:16]
    found = _TARGET.search(sql)
    target = found[1] if found is not None and found[1] in _TARGETS else ""
    return verb, f"{verb} {target}".strip()
