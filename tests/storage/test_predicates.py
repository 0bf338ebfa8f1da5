"""A filter means in SQL what it means in memory."""

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.message import Message
from app.domain.query import (
    Comparison,
    FieldPath,
    Filter,
    MessageQuery,
    Not,
    Operator,
    matches,
    parse_filter,
)
from app.errors import BadUserInput
from tests.domain.query.strategies import CHANNEL, SEGMENTS, filters
from tests.domain.query.strategies import messages as drawn_messages
from tests.storage.stored import PROPERTY, VALUES, Stored, published, sequences


def _assert_agreement(stored: Stored, messages: list[Message], condition: Filter) -> None:
    expected = [message for message in messages if matches(message, condition)]
    query = MessageQuery(filters=(condition,), limit=1000)
    found = stored.run(stored.search.messages(CHANNEL, query))
    assert sequences(found) == sequences(expected), condition
    negated = MessageQuery(filters=(Not(condition),))
    count = stored.run(stored.search.total_count(CHANNEL, negated))
    assert count == len(messages) - len(expected), condition


def _comparisons(field: str, operands: list[Any]) -> list[Filter]:
    """Return each operator with each operand that it takes; lists take them one by one."""
    found = []
    for operator in Operator:
        for operand in operands:
            lists = operator in (Operator.IN, Operator.NOT_IN)
            value = [operand, "a", 1] if lists else operand
            wire = {"field": field, "operator": operator, "value": value}
            with suppress(BadUserInput):
                found.append(parse_filter(wire))
    return found


@settings(PROPERTY, max_examples=60)
@given(st.data())
def test_a_filter_selects_the_same_messages_in_sql_and_in_memory(
    stored: Stored, data: st.DataObject
) -> None:
    messages = data.draw(drawn_messages())
    stored.store(messages)
    for condition in data.draw(st.lists(filters(messages), min_size=6, max_size=6)):
        _assert_agreement(stored, messages, condition)


@pytest.mark.parametrize("field", ["data", "data.a"])
def test_every_kind_of_value_compares_alike_in_sql_and_in_memory(
    stored: Stored, field: str
) -> None:
    messages = published([*VALUES, *({"a": value} for value in VALUES)])
    stored.store(messages)
    conditions = _comparisons(field, VALUES)
    assert len(conditions) > 300
    for condition in conditions:
        _assert_agreement(stored, messages, condition)


def test_every_spelling_of_an_index_leads_to_the_same_place(stored: Stored) -> None:
    keyed = [{segment: segment} for segment in SEGMENTS]
    messages = published([*keyed, [], ["x"], ["x", "y", "z"], "1", 1, {}, [[1, 2], [3]]])
    stored.store(messages)
    for segment in SEGMENTS:
        for path in ((segment,), ("1", segment), (segment, "0")):
            field = FieldPath("data", path)
            _assert_agreement(stored, messages, Comparison(field, Operator.EXISTS, True))
            _assert_agreement(stored, messages, Comparison(field, Operator.EQ, "y"))


@pytest.mark.parametrize("field", ["id", "clientId", "created", "username"])
def test_every_column_compares_as_the_json_it_is(stored: Stored, field: str) -> None:
    names = ["1", "a", "A", "ab", "é", "\U0001f600", "\ufffd"]
    messages = [
        replace(
            message,
            client_id=names[index % 7],
            username=[None, *names][index % 8],
            created=[0, 1, 1, 2, 2**53 + 1, 2**62][index // 4],
        )
        for index, message in enumerate(published(list(range(24))))
    ]
    stored.store(messages)
    ids = [message.id for message in messages[::7]]
    operands = [*VALUES, *names, *ids, ids[0].replace("-", ""), ids[0][:8], "{" + ids[0] + "}"]
    operands += [2**62, 2**53, Decimal("1.00"), Decimal("1.5"), -(2**70), Decimal("1e300")]
    for condition in _comparisons(field, operands):
        _assert_agreement(stored, messages, condition)
