"""Documents are read once, kept within bounds, and refused with a code."""

import pytest

from app.transports.graphql.documents import Documents
from app.transports.graphql.errors import RequestRefused
from app.transports.graphql.limits import DocumentLimits
from tests.transports.graphql.sample import SCHEMA


@pytest.fixture
def documents() -> Documents:
    return Documents(SCHEMA)


def refused(documents: Documents, query: str, name: str | None = None) -> tuple[str, str]:
    with pytest.raises(RequestRefused) as failure:
        documents.prepare(query, name)
    error = failure.value.errors[0]
    return error["extensions"]["code"], error["message"]


def test_an_operation_is_prepared_once(documents: Documents) -> None:
    first = documents.prepare("query a { hello } query b { hello }", "b")
    assert documents.prepare("query a { hello } query b { hello }", "b") is first
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
    assert documents.prepare("{ hello }", "").name is None


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
    kept = documents.prepare("{ hello }")
    for number in range(8):
        documents.prepare("{ hello }" + " " * 100_000 + str(number).join("# "))
        assert documents.prepare("{ hello }") is kept
    assert documents._kept_characters <= 512 * 1024
    assert documents._kept_characters == sum(map(len, documents._kept))
