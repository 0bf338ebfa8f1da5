"""The order of JSON values in memory; that it is jsonb's own is tests of `storage`."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.query.equality import json_key
from app.domain.query.ordering import Descending, order_key
from tests.domain.query import reference
from tests.domain.query.strategies import values


@given(values, values)
def test_it_is_the_order_of_the_model(one: object, other: object) -> None:
    mine, model = (order_key(one), order_key(other)), tuple(map(reference.order_key, (one, other)))
    assert (mine[0] < mine[1]) == (model[0] < model[1])
    assert (mine[0] == mine[1]) == (json_key(one) == json_key(other))


@given(st.lists(values, max_size=6))
def test_descending_is_the_other_way_round(drawn: list[object]) -> None:
    keys = list(map(order_key, drawn))
    assert sorted(keys, key=Descending) == sorted(keys, reverse=True)
