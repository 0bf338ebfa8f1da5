"""A comparison by keys holds for the same messages, whatever the operator and the value."""

from contextlib import suppress
from typing import Any, cast

from sqlalchemy import Select, func, select

from app.domain.query import FieldPath, Filter, Not, Operator, matches, parse_filter
from app.errors import BadUserInput
from app.storage.indexes.indexed_query import IndexedFields
from app.storage.predicates import condition
from app.storage.statements import rendered
from app.storage.tables import MESSAGES
from tests.domain.query.strategies import CHANNEL
from tests.storage.indexes.conftest import Indexed
from tests.storage.indexes.values import LONG
from tests.storage.stored import VALUES, published

_OPERANDS: list[Any] = [*LONG, None, True, False, "", "a", "é", 0, 1, 2**63, [], [1], {}, {"a": 1}]


def _filters() -> list[Filter]:
    found: list[Filter] = []
    for operator in Operator:
        for operand in _OPERANDS:
            lists = operator in (Operator.IN, Operator.NOT_IN)
            value = [operand, "a", 1] if lists else operand
            with suppress(BadUserInput):
                found.append(
                    parse_filter({"field": "data.a", "operator": operator, "value": value})
                )
    return found


def test_every_operator_finds_the_same_by_keys(indexed: Indexed) -> None:
    messages = published([{"a": value} for value in [*VALUES, *LONG]] + [{}])
    indexed.store(messages)
    fields = IndexedFields(frozenset({FieldPath("data", ("a",))}), strings_in_order=True)
    filters = _filters()
    assert len(filters) > 150
    # One statement for all: each filter and its negation is a column.
    asked = [one for some in filters for one in (some, Not(some))]
    for start in range(0, len(asked), 100):
        part = asked[start : start + 100]
        columns = [
            func.count().filter(condition(one, fields)).label(str(place))
            for place, one in enumerate(part)
        ]
        counted = select(*columns).where(MESSAGES.c.channel == CHANNEL.key)
        sql, parameters = rendered(cast("Select[Any]", counted))
        (row,) = indexed.run(indexed.database.fetch(sql, *parameters))
        for one, count in zip(part, row, strict=True):
            assert count == sum(matches(message, one) for message in messages), one
