"""Aggregates are the same alone and together, and read the path of their field once."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.json_value import decode_json
from app.domain.query import AggregateFunction, MessageQuery, parse_field, parse_query
from app.storage.grouped_statements import aggregate, groups
from app.storage.statements import rendered
from tests.domain.query.reference import order_key
from tests.domain.query.strategies import CHANNEL, fields, messages
from tests.storage.stored import PROPERTY, VALUES, Stored, published

_SCORE = parse_field("field", "data.score")
_ATTRIBUTES = {
    AggregateFunction.COUNT: "count",
    AggregateFunction.DISTINCT: "distinct",
    AggregateFunction.SUM: "sum",
    AggregateFunction.AVG: "avg",
    AggregateFunction.MIN: "min_json",
    AggregateFunction.MAX: "max_json",
}


@settings(PROPERTY, max_examples=12)
@given(st.data())
def test_what_else_is_asked_for_changes_nothing(stored: Stored, data: st.DataObject) -> None:
    """Beside `distinct`, all others are made of values that were counted before."""
    drawn = data.draw(messages() | st.just(published(VALUES)))
    stored.store(drawn)
    field = data.draw(fields(drawn))
    alone = {
        function: stored.run(stored.search.aggregate(CHANNEL, MessageQuery(), field, [function]))
        for function in AggregateFunction
    }
    functions = data.draw(st.sets(st.sampled_from(AggregateFunction), min_size=2))
    together = stored.run(stored.search.aggregate(CHANNEL, MessageQuery(), field, functions))
    for function in functions:
        one, other = (getattr(row, _ATTRIBUTES[function]) for row in (together, alone[function]))
        assert _value(one) == _value(other), function


def _value(shown: object) -> object:
    # Which of equal ones is shown, as 1 or 1.0, is not said.
    return order_key(decode_json(shown)) if isinstance(shown, bytes) else shown


def test_the_path_is_read_once_whatever_is_asked_for() -> None:
    """An average named its value five times, and Postgres read it as often."""
    for number in (1, 2, 6):
        for functions in combinations(AggregateFunction, number):
            sql, parameters = rendered(aggregate(CHANNEL, MessageQuery(), _SCORE, functions))
            assert sql.count("#>") == 1
            assert "OFFSET 0" in sql
            assert ["score"] in parameters


def test_groups_sorted_by_it_read_it_once() -> None:
    query = parse_query({"groupBy": "data.user", "sortField": "avg(data.score)"})
    sql, _ = rendered(groups(CHANNEL, query))
    # And the group's, once of each message and once of the first, whose form is shown.
    assert sql.count("#>") == 1 + 2
