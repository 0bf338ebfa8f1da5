"""What is recorded of operations, and what never is."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.errors import BadUserInput
from app.telemetry.recorder import TraceRecorder


class Recorded:
    """A recorder whose spans stay here."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.recorder = TraceRecorder(self.provider.get_tracer("test"))

    def spans(self) -> list[ReadableSpan]:
        """Return those that have ended, and forget them."""
        spans = [*self._exporter.get_finished_spans()]
        self._exporter.clear()
        return spans


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    one = Recorded()
    yield one
    one.provider.shutdown()


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b'{"data":{"errors":1}}', None),
        (b'{"errors":[{"message":"m","extensions":{"code":"FORBIDDEN"}}]}', "FORBIDDEN"),
        (b'{"errors":[{"message":"\\"code\\":\\"x\\"","extensions":{}}]}', "errors"),
        (b'{"errors":[{"message":"m","extensions":{"code":"SECRET"}}]}', "errors"),
    ],
)
def test_a_response_with_errors_is_a_failed_operation(
    recorded: Recorded, payload: bytes, kind: str | None
) -> None:
    with recorded.recorder.operation("query", "N" * 200) as operation:
        operation.answered(payload)
    (span,) = recorded.spans()
    assert span.attributes is not None
    assert span.attributes.get("error.type") == kind
    assert span.attributes["graphql.operation.name"] == "N" * 100


def test_an_exception_is_told_by_its_kind_alone(recorded: Recorded) -> None:
    for error, kind in (
        (BadUserInput("secret"), "BAD_USER_INPUT"),
        (KeyError("secret"), "KeyError"),
    ):
        with pytest.raises(type(error)), recorded.recorder.operation("query", None):
            raise error
        (span,) = recorded.spans()
        assert span.attributes == {"graphql.operation.type": "query", "error.type": kind}
        assert not span.events
        assert "secret" not in span.to_json()


def test_statements_tell_their_verb_and_a_table_of_ours(recorded: Recorded) -> None:
    recorder = recorded.recorder
    with recorder.statement("SELECT 1"):
        pass
    assert not recorded.spans(), "nobody's operation"
    with recorder.operation("query", None):
        for sql in ("\n select 'FROM secret' FROM messages", "UPDATE presence SET", "DELETE x"):
            with recorder.statement(sql):
                pass
    names = [span.name for span in recorded.spans()]
    assert names == ["SELECT", "UPDATE presence", "DELETE", "query"]


def test_a_commit_is_of_the_first_publisher_and_linked_to_the_others(recorded: Recorded) -> None:
    recorder = recorded.recorder
    publishers = []
    for _ in range(3):
        with recorder.operation("mutation", None):
            publishers.append(recorder.current())
    operations = [span.get_span_context() for span in recorded.spans()]
    assert publishers == operations
    with recorder.commit([None, None]), recorder.statement("SELECT 1"):
        assert recorder.current() is None
    assert not recorded.spans()
    with recorder.commit([None, *publishers, publishers[0]]):
        pass
    (commit,) = recorded.spans()
    assert commit.parent == operations[0]
    assert [link.context for link in commit.links] == operations[1:]
    assert commit.attributes == {"widgetwire.batch.messages": 5}


def test_other_processes_are_told_who_published_and_the_memory_of_it_is_bounded(
    recorded: Recorded,
) -> None:
    recorder = recorded.recorder
    with recorder.operation("mutation", None):
        publisher = recorder.current()
    recorded.spans()
    recorder.published(("a", "b"), (publisher, None))
    told = recorder.traceparents(("a", "b", "c"))
    assert set(told) == {"a"}
    other = Recorded()
    other.recorder.told(told | {"d": "nonsense", "e": told["a"][:-2] + "00"})
    with other.recorder.fan_out("p/w", ("b", "d", "e")) as span:
        assert span is None
    with other.recorder.fan_out("p/w", ("a",)) as span:
        assert span is not None
        span.given(2, 30)
    (deliver,) = other.spans()
    assert deliver.parent is not None
    assert publisher is not None
    assert (deliver.parent.span_id, deliver.parent.is_remote) == (publisher.span_id, True)
    for number in range(2_000):
        recorder.published((str(number),), (publisher,))
    assert len(recorder._published) == 1_000
    assert not recorder.traceparents(("a",))
