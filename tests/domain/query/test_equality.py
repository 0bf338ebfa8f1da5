"""Keys of JSON values: equal for equal values, and for no others."""

import gc
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.query.equality import (
    equality_test,
    item_test,
    json_key,
    membership_test,
    scalar_key,
)
from app.domain.query.matching import MISSING
from tests.domain.query.reference import order_key
from tests.domain.query.strategies import CONFUSABLE, values

confusable = st.sampled_from(CONFUSABLE)
some = st.recursive(
    confusable | values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)


def equal(one: Any, other: Any) -> bool:
    """Say it as plainly as it can be said."""
    return bool(order_key(one) == order_key(other))


@given(some, some)
def test_keys_are_equal_when_the_values_are(one: Any, other: Any) -> None:
    assert (json_key(one) == json_key(other)) == equal(one, other)
    assert equality_test(one)(other) == equal(one, other)


@given(st.lists(some, max_size=6), some)
def test_a_value_is_a_member_of_a_mixed_list_when_it_equals_an_item(
    items: list[Any], value: Any
) -> None:
    expected = any(equal(item, value) for item in items)
    assert membership_test(items)(value) == expected
    assert item_test(value)(items) == expected


def test_every_confusable_value_is_itself_only() -> None:
    for one in CONFUSABLE:
        among = [other for other in CONFUSABLE if membership_test([one])(other)]
        assert among == [other for other in CONFUSABLE if equal(one, other)]


def test_a_missing_path_is_no_value() -> None:
    assert scalar_key(MISSING) is None
    assert not membership_test([None, 0, "", [], {}])(MISSING)


def test_no_more_of_a_value_is_looked_at_than_asked_for() -> None:
    assert json_key([1, [2]], 4) is not None
    assert json_key([1, [2]], 3) is None
    large = [[0] * 1_000_000]
    gc.collect()  # not while it is measured
    began = time.process_time()
    assert not membership_test([[[0]], {"a": 1}])(large)
    assert time.process_time() - began < 0.01


@pytest.mark.parametrize("spread", [1, Decimal("0.1"), Decimal("1E-100")])
def test_numbers_cannot_be_chosen_to_collide(spread: Any) -> None:
    """Python hashes every multiple of 2**61 - 1 to 0: a set of a thousand was a list."""
    numbers = [(2**61 - 1) * n * spread for n in range(1, 1_001)]
    assert len({hash(scalar_key(number)) for number in numbers}) > 990
