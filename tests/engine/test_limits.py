"""Documents that cost more than they look: each is refused with its measure."""

import time

import pytest
from graphql import GraphQLError, get_introspection_query, parse

from app.engine.limits import DocumentLimits, check_limits

LIMITS = DocumentLimits(
    operations=2,
    depth=3,
    fields=10,
    root_fields=5,
    aliases=3,
    directives=2,
    repeats=2,
    introspections=2,
    name_characters=8,
)
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
        ("{ a { b } a { b } a { b } }", "repeats fields more than 2 times"),
        (
            "{ a { b } ...f ... { a { b } } } fragment f on Query { a { b } }",
            "repeats fields more than 2 times",
        ),
        ("{ x: a y: a x: a y: a x: a }", "5 aliases"),
        ("{ a } fragment f on Node { b b b b }", "the fragment repeats fields"),
        ("{ __schema { a } __type { b } w: __type { b } }", "has 3 introspections, at most 2"),
        ("{ __schema { x: a { y: a } } }", "has 3 introspections, at most 2"),
        ("{ abcdefghi }", "a name has 9 characters, at most 8 are allowed"),
        ("{ a(b: ABCDEFGHI) }", "a name has 9 characters, at most 8 are allowed"),
        (
            "query ($v: T = {a: [1, {}], b: {}}) { a(b: [" + "$v " * 150 + "]) }",
            r"the default of \$v has 5 input objects .* used 150 times",
        ),
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
        "{ a { ...f } } fragment f on Node { a { ...f } b { ...f } }",
        "{ ...f ...f ...f ...f ...f } fragment f on Query { a }",
        '{ a(b: "abcdefghijkl") }',
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


def test_uses_of_variables_are_counted_with_the_fragments_spread() -> None:
    document = parse(
        "query q ($a: I, $b: I, $c: I) { x(y: $a) { ...f } z(y: [$b {k: $b}]) { ...f } }"
        " query r { x } fragment f on Node { x(y: $a) @include(if: $c) }"
    )
    limits = DocumentLimits()
    assert check_limits(document, limits) == {"q": {"a": 3, "b": 2}, "r": {}}
