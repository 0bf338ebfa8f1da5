"""Documents that cost more than they look: each is refused with its measure."""

import time

import pytest
from graphql import GraphQLError, get_introspection_query, parse

from app.transports.graphql.limits import DocumentLimits, check_limits

LIMITS = DocumentLimits(operations=2, depth=3, fields=10, root_fields=5, aliases=3, directives=2)
BOMB = (
    "{ ...f0 }"
    + "".join(f" fragment f{i} on Query {{ ...f{i + 1} ...f{i + 1} }}" for i in range(60))
    + " fragment f60 on Query { a }"
)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{ a { b { c { d } } } }", "the operation is 4 fields deep, at most 3 are allowed"),
        (
            "{ ...f } fragment f on Query { a { b { ...g } } } fragment g on Node { c { d } }",
            "the operation is 4 fields deep, at most 3 are allowed",
        ),
        ("{ a b c d e f }", "the operation has 6 root fields, at most 5 are allowed"),
        (
            "{ a { b c d e f } g { b c d e f } }",
            "the operation has 12 fields, at most 10 are allowed",
        ),
        ("{ w: a x: a y: a z: a }", "the operation has 4 aliases, at most 3 are allowed"),
        (
            "{ a @skip(if: false) @skip(if: false) @skip(if: false) }",
            "the operation has 3 directives, at most 2 are allowed",
        ),
        ("query a { a } query b { a } query c { a }", "3 operations, at most 2 are allowed"),
        ("{ a } fragment f on Query { a b c d e f }", "the fragment has 6 root fields"),
        (BOMB, f"the operation has {2**60} fields, at most 10 are allowed"),
    ],
)
def test_a_document_beyond_a_bound_is_refused(document: str, message: str) -> None:
    with pytest.raises(GraphQLError, match=message):
        check_limits(parse(document), LIMITS)


@pytest.mark.parametrize(
    "document",
    [
        "{ a { b { c } } }",
        "{ a b c d e }",
        "{ ...f } fragment f on Query { ...g } fragment g on Query { ...f a }",
        get_introspection_query(),
    ],
)
def test_a_document_within_the_bounds_passes(document: str) -> None:
    limits = DocumentLimits() if "__schema" in document else LIMITS
    check_limits(parse(document), limits)


def test_measuring_is_linear_in_the_document() -> None:
    begun = time.perf_counter()
    with pytest.raises(GraphQLError):
        check_limits(parse(BOMB), LIMITS)
    assert time.perf_counter() - begun < 1
