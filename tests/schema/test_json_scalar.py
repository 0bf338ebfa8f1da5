"""The scalars: a JSON value in the document is the value that was written."""

from decimal import Decimal

import pytest
from graphql import GraphQLError, parse_value, print_type
from graphql.type import GraphQLScalarType

from app.schema import build_schema

SCHEMA = build_schema()._schema


def scalar(name: str) -> GraphQLScalarType:
    found = SCHEMA.type_map[name]
    assert isinstance(found, GraphQLScalarType)
    return found


JSON = scalar("JSON")


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("null", None),
        ("true", True),
        ('"é\\u00e9\\n"', "éé\n"),
        ("-0", 0),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("0.1", Decimal("0.1")),
        ("1e400", Decimal("1e400")),
        ('[1, [], "a"]', [1, [], "a"]),
        ("{a: {b: [null]}, b: false}", {"a": {"b": [None]}, "b": False}),
    ],
)
def test_a_literal_is_its_value(literal: str, value: object) -> None:
    parsed = JSON.parse_literal(parse_value(literal))
    assert (parsed, type(parsed)) == (value, type(value))


def test_variables_within_a_literal_are_their_values() -> None:
    node = parse_value("{score: $score}")
    assert JSON.parse_literal(node, {"score": 7}) == {"score": 7}
    with pytest.raises(GraphQLError, match=r"the variable \$score has no value"):
        JSON.parse_literal(node, {})


@pytest.mark.parametrize(
    ("literal", "told"),
    [
        ("[RED]", "JSON has no enum values; got RED: put it in quotes"),
        ("1" * 401, "an integer has 401 digits, at most 400 are allowed"),
        ("1e9999999999999999999", "a number is outside the range"),
    ],
)
def test_what_is_no_json_is_refused(literal: str, told: str) -> None:
    with pytest.raises(GraphQLError, match=told):
        JSON.parse_literal(parse_value(literal))


def test_stored_text_goes_out_as_it_is() -> None:
    """Decoding and encoding each message again would cost more than storing it."""
    text = b'{"a":1.50}'
    assert bytes(JSON.serialize(text)) == text
    assert JSON.serialize({"a": 1}) == {"a": 1}


def test_a_timestamp_goes_out_as_a_number() -> None:
    assert scalar("Timestamp").serialize(1678724096803) == 1678724096803
    assert "Milliseconds since the Unix epoch" in print_type(scalar("Timestamp"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (1767268800000, 1767268800000), (Decimal("1.5e3"), 1500), (-(2**53) + 1, 1 - 2**53)],
)
def test_a_timestamp_is_whole_milliseconds(value: object, expected: int) -> None:
    assert repr(scalar("Timestamp").parse_value(value)) == repr(expected)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "1767268800000",
        Decimal("1.5"),
        2**53,
        Decimal("1e999999"),
        Decimal("Infinity"),
        [],
    ],
)
def test_anything_else_is_refused(value: object) -> None:
    """`1e999999` is eight characters, and an int of a million digits."""
    with pytest.raises(GraphQLError, match="expected whole milliseconds"):
        scalar("Timestamp").parse_value(value)
