"""A filter means in SQL what it means in memory."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.query import (
    Comparison,
    FieldPath,
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


@settings(PROPERTY, max_examples=150)
@given(st.data())
def test_a_filter_selects_the_same_messages_in_sql_and_in_memory(
    stored: Stored, data: st.DataObject
) -> None:
    messages = data.draw(drawn_messages())
    stored.store(messages)
    for condition in data.draw(st.lists(filters(messages), min_size=6, max_size=6)):
        query = MessageQuery(filters=(condition,), limit=1000)
        found = stored.run(stored.search.messages(CHANNEL, query))
        expected = [message for message in messages if matches(message, condition)]
        assert sequences(found) == sequences(expected), condition
        assert stored.run(stored.search.total_count(CHANNEL, query)) == len(expected)


@pytest.mark.parametrize("operator", Operator)
@pytest.mark.parametrize("field", ["data", "data.a"])
def test_every_kind_of_value_compares_alike_in_sql_and_in_memory(
    stored: Stored, field: str, operator: Operator
) -> None:
    messages = published([*VALUES, *({"a": value} for value in VALUES)])
    stored.store(messages)
    compared = 0
    for value in VALUES:
        wire = {"field": field, "operator": operator, "value": value}
        if operator in (Operator.IN, Operator.NOT_IN):
            wire["value"] = [value]
        try:
            condition = parse_filter(wire)
        except BadUserInput:
            continue
        expected = [message for message in messages if matches(message, condition)]
        query = MessageQuery(filters=(condition,), limit=1000)
        found = stored.run(stored.search.messages(CHANNEL, query))
        assert sequences(found) == sequences(expected), condition
        negated = MessageQuery(filters=(Not(condition),))
        count = stored.run(stored.search.total_count(CHANNEL, negated))
        assert count == len(messages) - len(expected), condition
        compared += bool(expected)
    assert compared, "the comparison holds for some"


def test_every_spelling_of_an_index_leads_to_the_same_place(stored: Stored) -> None:
    keyed = [{segment: segment} for segment in SEGMENTS]
    messages = published([*keyed, [], ["x"], ["x", "y", "z"], "1", 1, {}, [[1, 2], [3]]])
    stored.store(messages)
    for segment in SEGMENTS:
        for path in ((segment,), ("1", segment), (segment, "0")):
            for field in (FieldPath("data", path), FieldPath("data", path[:1])):
                conditions = [
                    Comparison(field, Operator.EXISTS, True),
                    Comparison(field, Operator.EQ, "y"),
                ]
                for condition in conditions:
                    query = MessageQuery(filters=(condition,), limit=1000)
                    expected = [message for message in messages if matches(message, condition)]
                    found = stored.run(stored.search.messages(CHANNEL, query))
                    assert sequences(found) == sequences(expected), condition


@pytest.mark.parametrize("operator", Operator)
@pytest.mark.parametrize("field", ["id", "clientId", "created", "username"])
def test_every_column_compares_as_the_json_it_is(
    stored: Stored, field: str, operator: Operator
) -> None:
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
    for value in operands:
        wire = {"field": field, "operator": operator, "value": value}
        if operator in (Operator.IN, Operator.NOT_IN):
            wire["value"] = [value, None, "a", 1]
        try:
            condition = parse_filter(wire)
        except BadUserInput:
            continue
        expected = [message for message in messages if matches(message, condition)]
        query = MessageQuery(filters=(condition,), limit=1000)
        found = stored.run(stored.search.messages(CHANNEL, query))
        assert sequences(found) == sequences(expected), condition
