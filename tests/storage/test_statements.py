"""The text of a search's SQL: values are bound, whatever they look like."""

import pytest

from app.domain.query import MessageQuery, Operator, parse_field, parse_query
from app.storage import statements
from app.storage.statements import rendered
from tests.domain.query.strategies import CHANNEL

_HOSTILE = "x'; DROP TABLE messages; --"


@pytest.mark.parametrize("operator", Operator)
@pytest.mark.parametrize("field", ["clientId", "username", "id", f"data.{_HOSTILE}"])
def test_nothing_that_a_client_sent_is_in_the_text(field: str, operator: Operator) -> None:
    value: object = _HOSTILE
    if operator is Operator.EXISTS:
        value = True
    elif operator in (Operator.IN, Operator.NOT_IN):
        value = [_HOSTILE, _HOSTILE + "2"]
    comparison = {"field": field, "operator": operator, "value": value}
    query = parse_query({"filters": [comparison], "sortField": field, "sortOrder": "DESC"})
    groups = parse_query({"filters": [comparison], "groupBy": field})
    hostile = parse_field("field", field)
    keys = [b'"' + _HOSTILE.encode() + b'"']
    for statement in (
        statements.messages(CHANNEL, query),
        statements.count_messages(CHANNEL, query),
        statements.aggregate(CHANNEL, query, hostile),
        statements.groups(CHANNEL, groups),
        statements.count_groups(CHANNEL, groups),
        statements.group_messages(CHANNEL, groups, keys, 3),
        statements.group_aggregates(CHANNEL, groups, keys, hostile),
    ):
        sql, _ = rendered(statement)
        assert "DROP" not in sql
        assert CHANNEL.key not in sql


def test_equal_shapes_are_one_text_that_postgres_prepares_once() -> None:
    texts = {
        rendered(statements.messages(CHANNEL, parse_query(query)))[0]
        for query in (
            {"filters": [{"field": "data.a", "operator": "GT", "value": 1}], "limit": 3},
            {"filters": [{"field": "data.b.c", "operator": "GT", "value": 2.5}], "offset": 9},
        )
    }
    assert len(texts) == 1


def test_parameters_are_numbered_in_the_order_of_their_values() -> None:
    sql, parameters = rendered(statements.messages(CHANNEL, MessageQuery(offset=7, limit=5)))
    assert sql.endswith("LIMIT $2::INTEGER OFFSET $3::INTEGER")
    assert parameters == (CHANNEL.key, 5, 7)
