"""A statement from its form is the statement that was built, whatever the values."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Select

from app.domain.channel import Channel
from app.domain.query import AggregateFunction, MessageQuery, parse_field, parse_query
from app.storage import grouped_statements, statements
from app.storage.statement_forms import StatementForms
from app.storage.statements import rendered
from tests.domain.query.strategies import CHANNEL, messages, queries

FIELD = parse_field("field", "data.score")
KEPT = StatementForms()
"""Of all examples: a form that one of them has taught serves the others."""


FUNCTIONS = frozenset({AggregateFunction.AVG, AggregateFunction.MAX})
OF_MESSAGES: list[tuple[Any, ...]] = [
    (statements.messages,),
    (statements.far_messages,),
    (statements.count_messages,),
    (statements.first,),
    (grouped_statements.aggregate, FIELD, frozenset(AggregateFunction)),
]
OF_GROUPS: list[tuple[Any, ...]] = [
    (grouped_statements.groups,),
    (grouped_statements.count_groups,),
    (grouped_statements.group_messages, [b"1", b'"a"'], 7),
    (grouped_statements.group_messages, [b"1"], 7, 5000),
    (grouped_statements.group_aggregates, [b"null"], FIELD, FUNCTIONS),
]


def assert_same(
    query: MessageQuery,
    channel: Channel = CHANNEL,
    asked: tuple[Any, ...] = (statements.messages,),
) -> None:
    build, *further = asked
    expected = rendered(build(channel, query, *further))
    for _ in range(3):  # seen, learned, filled
        found = KEPT.rendered(build, channel, query, *further)
        assert found == expected
        assert [type(one) for one in found[1]] == [type(one) for one in expected[1]]


@given(st.data(), st.booleans())
@settings(max_examples=40)
def test_any_query_is_rendered_as_it_is_built(data: st.DataObject, grouped: bool) -> None:
    query = data.draw(queries(data.draw(messages(most=4)), grouped))
    asked = data.draw(st.sampled_from(OF_GROUPS if grouped else OF_MESSAGES))
    assert_same(query, asked=asked)


def compared(field: str, operator: str, value: object, **query: object) -> MessageQuery:
    comparison = {"field": field, "operator": operator, "value": value}
    return parse_query({"filters": [comparison], **query})


IDS = ["0190163d-8694-739b-aea5-966c26f8ad91", "0190163d-8694-739b-aea5-966c26f8ad92"]


@pytest.mark.parametrize("operator", ["EQ", "NEQ", "GT", "LTE", "CONTAINS", "ENDS_WITH"])
@pytest.mark.parametrize("field", ["id", "clientId", "username", "data", "data.a.b"])
def test_values_of_one_form_go_to_their_places(field: str, operator: str) -> None:
    values = ["a", "bcd", "é" * 60, "x" * 65, "", *IDS, IDS[0].upper()]
    for value in values:
        assert_same(compared(field, operator, value))


@given(st.lists(st.sampled_from([0, 1, 2, 50, 51, 100]), min_size=2, max_size=2))
@settings(max_examples=20)
def test_numbers_that_are_alike_are_not_taken_for_each_other(numbers: list[int]) -> None:
    """The offset, the limit, their sum and a filter's value may be one number, or another."""
    offset, limit = numbers
    assert_same(compared("created", "GT", offset, offset=offset, limit=limit))
    assert_same(compared("data.a", "EQ", limit, offset=offset, limit=limit))


def test_cursors_and_channels_are_values_too() -> None:
    for after, before in ((IDS[0], None), (IDS[1], None), (IDS[0], IDS[1]), (IDS[1], IDS[0])):
        for channel in (CHANNEL, Channel("another", "one")):
            query = parse_query({"after": after, "before": before})
            assert_same(query, channel)
            assert_same(query, channel, (statements.preceding,))


def test_a_form_that_came_twice_is_not_built_again() -> None:
    built = 0

    def build(channel: Channel, query: MessageQuery) -> Select[Any]:
        nonlocal built
        built += 1
        return statements.messages(channel, query)

    forms = StatementForms()
    for limit in range(1, 9):
        forms.rendered(build, CHANNEL, MessageQuery(limit=limit))
    assert built == 3  # the second one twice: with other values


@pytest.mark.parametrize("changes", ["the text", "a parameter"])
def test_what_depends_on_more_than_the_form_is_built_each_time(changes: str) -> None:
    def build(channel: Channel, query: MessageQuery) -> Select[Any]:
        if changes == "the text":
            return statements.messages(channel, query).limit(None if query.limit < 9 else 5)
        return statements.messages(channel, query).limit(query.limit * 2)

    forms = StatementForms()
    for limit in (1, 2, 3, 4, 5, 6):
        query = MessageQuery(limit=limit)
        assert forms.rendered(build, CHANNEL, query) == rendered(build(CHANNEL, query))


def test_forms_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.storage.statement_forms._MAX_FORMS", 2)
    forms = StatementForms()
    for name in "abcd":
        forms.rendered(statements.messages, CHANNEL, compared(f"data.{name}", "EQ", 1))
    assert len(forms._forms) == 2
    large = compared("data.a", "IN", ["x" * 300])
    expected = rendered(statements.messages(CHANNEL, large))
    for _ in range(3):
        assert forms.rendered(statements.messages, CHANNEL, large) == expected
    assert len(forms._forms) == 2
