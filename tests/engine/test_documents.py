"""Documents are read once, kept within bounds, and refused with a code."""

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Iterator

import pytest
from graphql import DocumentNode, GraphQLError, Node, parse

from app.engine.documents import Documents, Operation
from app.engine.errors import RequestRefused
from app.engine.execution import Executor
from app.engine.limits import DocumentLimits
from tests.transports.graphql.sample import SCHEMA


@pytest.fixture
def documents() -> Documents:
    return Documents(SCHEMA)


def refused(documents: Documents, query: str, name: str | None = None) -> tuple[str, str]:
    with pytest.raises(RequestRefused) as failure:
        documents.document(query).operation(name)
    error = failure.value.errors[0]
    return error["extensions"]["code"], error["message"]


def test_an_operation_is_prepared_once(documents: Documents) -> None:
    first = documents.document("query a { hello } query b { hello }").operation("b")
    assert documents.document("query a { hello } query b { hello }").operation("b") is first
    assert (first.name, first.root_field) == ("b", "hello")


def test_the_operation_must_be_named_when_there_are_several(documents: Documents) -> None:
    query = "query a { hello } query b { hello }"
    assert refused(documents, query) == (
        "BAD_USER_INPUT",
        "operationName: the document has 2 operations, name one",
    )
    assert refused(documents, query, "c") == (
        "BAD_USER_INPUT",
        "operationName: the document has no operation 'c'",
    )
    assert documents.document("{ hello }").operation("").name is None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{ hello", "GRAPHQL_PARSE_FAILED"),
        ("{" * 5_000, "GRAPHQL_PARSE_FAILED"),
        ("{ hello }" + " " * 300_000, "GRAPHQL_PARSE_FAILED"),
        ("#\n" * 2_000 + "{ hello }", "GRAPHQL_PARSE_FAILED"),
        ("{" + "hello " * 11_000 + "}", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("type A { a: Int }", "GRAPHQL_VALIDATION_FAILED"),
        ("fragment f on Query { hello }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ ...f } fragment f on Query { ...f }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ count(number: 99999999999) }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ count(number: " + "9" * 5_000 + ") }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ echo(data: 1e999) }", "BAD_USER_INPUT"),
        ("{" + "node {" * 25 + "number" + "}" * 26, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { items liveMessages }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
def test_a_bad_document_is_refused_with_its_code(
    documents: Documents, query: str, code: str
) -> None:
    came, message = refused(documents, query)
    assert came == code
    for internal in ("Traceback", "Exceeds the limit", "Decimal", "RecursionError"):
        assert internal not in message


def test_the_least_recently_used_document_goes_first() -> None:
    documents = Documents(SCHEMA, DocumentLimits(characters=1_000_000))
    kept = documents.document("{ hello }").operation()
    for number in range(8):
        documents.document("{ hello }" + " " * 100_000 + str(number).join("# ")).operation()
        assert documents.document("{ hello }").operation() is kept
    assert documents._kept_bytes <= 32 * 1024 * 1024


COMMENTED = "{ __typename } # " + "x" * 199_000
DENSE = "{ node { " + "number " * 70 + "} } #"
ORDINARY = "query A($n: Int!) { count(number: $n) hello node { number } }  #"


@pytest.mark.parametrize(("text", "several"), [(COMMENTED, 3), (DENSE, 20), (ORDINARY, 20)])
def test_a_kept_document_takes_what_it_is_counted_for(text: str, several: int) -> None:
    """A bound of characters promised a hundred bytes for each; one comment was all of them."""
    documents = Documents(SCHEMA)
    for number in range(3):
        documents.document(f"{text}{-number}").operation()  # what is made once for all
    counted = documents._kept_bytes
    gc.collect()
    tracemalloc.start()
    for number in range(several):
        documents.document(f"{text}{number}").operation()
    gc.collect()
    sys._clear_type_cache()  # it holds names that the validation has asked visitors for
    real, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 * real < documents._kept_bytes - counted < 2.5 * real


@pytest.mark.anyio
async def test_documents_that_are_let_go_do_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four caches of a thousand operations each kept what the documents' cache let go."""
    monkeypatch.setattr("app.engine.documents._MAX_KEPT_BYTES", 40 * 2 * 2_000)
    text = COMMENTED[:2_000]
    executor = Executor.of(SCHEMA)
    operations: list[weakref.ref[Operation] | weakref.ref[DocumentNode]] = []
    for number in range(200):
        operation = executor.prepare(f"{text} {number}")
        await executor.execute(operation, {}, None)
        operations.append(weakref.ref(operation))
        operations.append(weakref.ref(operation.document))
    del operation
    gc.collect()
    alive = sum(one() is not None for one in operations)
    assert 0 < alive <= 2 * 40


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_errors_still_have_their_places(line_break: str) -> None:
    text = line_break.join(["query {", "", "  hello", "  node { number", "}}", ""])
    kept, parsed = Documents(SCHEMA).document(text).operation().document, parse(text)
    for one, other in zip(_nodes(kept), _nodes(parsed), strict=True):
        told, expected = GraphQLError("x", one), GraphQLError("x", other)
        assert told.locations == expected.locations
        assert str(told).split("\n")[2] == str(expected).split("\n")[2]
        assert text not in str(told)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for key in node.keys:
        value = getattr(node, key)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Node):
                yield from _nodes(one)


def test_without_introspection_nobody_learns_of_the_schema() -> None:
    documents = Documents(SCHEMA, introspection=False)
    for query in ("{ __schema { queryType { name } } }", '{ __type(name: "Query") { name } }'):
        code, message = refused(documents, query)
        assert code == "GRAPHQL_VALIDATION_FAILED"
        assert message.startswith("GraphQL introspection has been disabled")
    assert documents.document("{ __typename hello }").operation(None).name is None


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("{ helo }", "hello"),
        ("query ($a: Strng) { hello(name: $a) }", "String"),
        ("{ count(nmber: 1) }", "number"),
    ],
)
def test_without_introspection_errors_suggest_no_names(query: str, name: str) -> None:
    assert f"Did you mean '{name}'?" in refused(Documents(SCHEMA), query)[1]
    assert "Did you mean" not in refused(Documents(SCHEMA, introspection=False), query)[1]
