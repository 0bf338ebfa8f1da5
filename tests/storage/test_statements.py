"""The text of a search's SQL: values are bound, whatever they look like."""

import pytest

from app.domain.query import MessageQuery, Operator, parse_query
from app.storage import statements
from app.storage.statements import rendered
from tests.domain.query.strategies import CHANNEL

_ID = "01890000-0000-7000-8000-000000000000"
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
    cursors = parse_query({"filters": [comparison], "after": _ID, "before": _ID})
    for statement in (
        statements.messages(CHANNEL, query),
        statements.count_messages(CHANNEL, query),
        statements.messages(CHANNEL, cursors),
        statements.first(CHANNEL, cursors),
        statements.preceding(CHANNEL, cursors),
    ):
        sql, _ = rendered(statement)
        assert "DROP" not in sql
        assert CHANNEL.key not in sql
        assert _ID not in sql


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
