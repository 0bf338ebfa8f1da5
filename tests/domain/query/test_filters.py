"""Filters as values: two are equal when they mean the same."""

from decimal import Decimal

import pytest

from app.domain.query import And, Comparison, FieldPath, Not, Operator, Or, parse_field

FIELD: FieldPath = parse_field("field", "data.score")


def compared(value: object) -> Comparison:
    return Comparison(FIELD, Operator.EQ, value)  # type: ignore[arg-type]


def test_equal_filters_are_one_key() -> None:
    """Subscriptions with equal filters are answered together."""
    one = And((compared([1, "a"]), Not(compared(None))))
    other = And((compared([1, "a"]), Not(compared(None))))
    assert {one: "shared"}[other] == "shared"
    assert len({one, other, And((compared(1),)), Or((compared(1),))}) == 3


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), (1, "1"), (None, "null"), (1, Decimal("1.0"))]
)
def test_values_that_only_python_takes_for_equal_are_different_filters(
    one: object, other: object
) -> None:
    assert compared(one) != compared(other)


def test_a_float_is_compared_as_the_number_that_it_is_written_as() -> None:
    """0.1 of Python is 0.1000000000000000055… to a Decimal, and 0.1 to Postgres."""
    assert compared(0.1).value == Decimal("0.1")
    assert compared(0.1) == compared(Decimal("0.1"))
