"""The scalars take what JSON can say, and nothing that is costly to make of it."""

from decimal import Decimal

import pytest
from graphql import GraphQLError

from app.schema.scalars import SCALAR_MAP, Timestamp

_PARSE = SCALAR_MAP[Timestamp].parse_value


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (1767268800000, 1767268800000), (Decimal("1.5e3"), 1500), (-(2**53) + 1, 1 - 2**53)],
)
def test_a_timestamp_is_whole_milliseconds(value: object, expected: int) -> None:
    assert _PARSE is not None
    assert repr(_PARSE(value)) == repr(expected)


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
    assert _PARSE is not None
    with pytest.raises(GraphQLError, match="allowed are whole milliseconds"):
        _PARSE(value)
