"""The aggregate of a field, value by value, is that of the model."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.json_value import decode_json
from app.domain.query.matching import MISSING, field_getter
from app.domain.results import AggregateRow, Effect, Tally
from tests.domain.query import reference
from tests.domain.query.reference import order_key
from tests.domain.query.strategies import fields
from tests.domain.results.changes import changes, drawn_messages, steps


def comparable(row: AggregateRow) -> tuple[Any, ...]:
    extremes = [text and order_key(decode_json(text)) for text in (row.min_json, row.max_json)]
    return row.count, *extremes, row.sum, row.avg, row.distinct


@given(st.data())
def test_values_that_come_and_go_come_to_what_the_model_says(data: st.DataObject) -> None:
    drawn = data.draw(drawn_messages)
    field = data.draw(fields(drawn))
    get = field_getter(field)
    tally = Tally(counts_distinct=True)
    made = data.draw(changes(drawn))
    for effect, there in steps(
        made, lambda one: tally.add(get(one)), lambda one: tally.remove(get(one))
    ):
        if effect is Effect.LOST:
            return  # the extreme is to be read again
        expected = reference.aggregate(there, field)
        keys = {order_key(get(one)) for one in there if get(one) not in (MISSING, None)}
        assert comparable(tally.row) == (
            expected.count,
            expected.min_key,
            expected.max_key,
            expected.sum,
            expected.avg,
            len(keys),
        )


def test_a_sum_of_the_largest_and_the_smallest_numbers_is_exact() -> None:
    tally = Tally()
    values = [10**308, Decimal("5e-324"), Decimal("0.1"), -(10**308)]
    for value in values:
        tally.add(value)
    assert tally.row.sum == 0.1
    for value in (10**308, -(10**308)):
        tally.remove(value)
    assert tally.row.avg == 0.05


def test_a_sum_beyond_a_double_is_none() -> None:
    tally = Tally()
    for _ in range(2):
        tally.add(Decimal("1.7e308"))
    assert (tally.row.sum, tally.row.avg) == (None, 1.7e308)


def test_the_last_value_to_leave_leaves_nothing() -> None:
    tally = Tally(counts_distinct=True)
    size = tally.size
    tally.add("a")
    assert tally.remove("a") is Effect.CHANGED
    assert tally.row == AggregateRow()
    assert tally.size == size


def test_an_extreme_that_leaves_is_to_be_read_again() -> None:
    tally = Tally()
    for value in (1, 2, 2, 3):
        tally.add(value)
    assert tally.remove(2) is Effect.CHANGED
    assert tally.remove(3) is Effect.LOST


@pytest.mark.parametrize("value", [None, MISSING])
def test_what_is_no_value_changes_nothing(value: Any) -> None:
    tally = Tally()
    assert tally.add(value) is Effect.NOTHING
    assert tally.remove(value) is Effect.NOTHING


def test_what_was_counted_elsewhere_goes_on() -> None:
    tally = Tally.of(3, 2, 5, ("b", 4), [(1, 1), (4, 1), ("b", 1)])
    tally.add(Decimal("4.0"))
    tally.add("c")
    assert tally.row == AggregateRow(5, b'"b"', b"4", 9.0, 3.0, 4)
