"""The text of the statements of groups: nothing that a client sent is in it."""

import pytest

from app.domain.query import AggregateFunction, parse_field, parse_query
from app.storage import grouped_statements
from app.storage.statements import rendered
from tests.domain.query.strategies import CHANNEL

_HOSTILE = "x'; DROP TABLE messages; --"


@pytest.mark.parametrize("sort", ["count", "key", *(f"{one}({{}})" for one in AggregateFunction)])
def test_nothing_that_a_client_sent_is_in_the_text(sort: str) -> None:
    field = f"data.{_HOSTILE}"
    groups = parse_query({"groupBy": field, "sortField": sort.format(field)})
    hostile, keys = parse_field("field", field), [b'"' + _HOSTILE.encode() + b'"']
    for statement in (
        grouped_statements.groups(CHANNEL, groups),
        grouped_statements.count_groups(CHANNEL, groups),
        grouped_statements.group_messages(CHANNEL, groups, keys, 3),
        grouped_statements.aggregate(CHANNEL, groups, hostile, list(AggregateFunction)),
        grouped_statements.group_aggregates(
            CHANNEL, groups, keys, hostile, list(AggregateFunction)
        ),
    ):
        sql, _ = rendered(statement)
        assert "DROP" not in sql
        assert CHANNEL.key not in sql


def test_what_is_not_asked_for_is_not_computed() -> None:
    """Different values are sorted to be counted: for a sum alone nobody should pay for that."""
    field = parse_field("field", "data.a")
    query = parse_query({})
    sql, _ = rendered(grouped_statements.aggregate(CHANNEL, query, field, [AggregateFunction.SUM]))
    assert "DISTINCT" not in sql.upper()
    assert "min(" not in sql
