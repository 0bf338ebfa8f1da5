"""The inputs on their way into the query language: what was not sent stays absent."""

import pytest
from strawberry import UNSET

from app.domain.query import Operator, SortOrder, parse_filters, parse_query
from app.schema.inputs import (
    FilterOperator,
    MessageFilterInput,
    MessageQueryInput,
    SortOrderEnum,
    wire_filters,
    wire_query,
)
from app.schema.scalars import JSON


def test_an_empty_query_is_a_query_with_the_defaults() -> None:
    wire = wire_query(MessageQueryInput())
    assert wire == {"offset": 0, "limit": 50, "filters": []}
    assert parse_query(wire) == parse_query({})


def test_all_of_a_query_arrives() -> None:
    query = MessageQueryInput(
        sort_field="data.score",
        sort_order=SortOrderEnum.DESC,
        offset=1,
        limit=2,
        group_by="data.liked",
        filters=[MessageFilterInput(field="created", operator=FilterOperator.GT, value=JSON(7))],
    )
    assert wire_query(query) == {
        "sortField": "data.score",
        "sortOrder": "DESC",
        "offset": 1,
        "limit": 2,
        "groupBy": "data.liked",
        "filters": [{"field": "created", "operator": "GT", "value": 7}],
    }


def test_nested_filters_arrive_nested() -> None:
    one = MessageFilterInput(field="data.a", operator=FilterOperator.EXISTS, value=JSON(True))
    nested = MessageFilterInput(and_=[one, MessageFilterInput(or_=[one])])
    wire = {"field": "data.a", "operator": "EXISTS", "value": True}
    assert wire_filters([nested, MessageFilterInput(not_=one)]) == [
        {"and": [wire, {"or": [wire]}]},
        {"not": wire},
    ]
    assert len(parse_filters(wire_filters([nested]))) == 1


@pytest.mark.parametrize("value", [None, False, 0])
def test_a_value_that_is_null_was_sent(value: object) -> None:
    """`EQ null` is a comparison; one without a value is a mistake."""
    one = MessageFilterInput(field="data", operator=FilterOperator.EQ, value=value)  # type: ignore[arg-type]
    assert wire_filters([one])[0]["value"] is value
    assert "value" not in wire_filters([MessageFilterInput(field="data", value=UNSET)])[0]


def test_a_combination_that_is_null_is_told_by_the_query_language() -> None:
    assert wire_filters([MessageFilterInput(and_=None, or_=None, not_=None)]) == [
        {"and": None, "or": None, "not": None}
    ]


def test_the_words_are_those_of_the_query_language() -> None:
    assert list(FilterOperator.__members__) == list(Operator.__members__)
    assert list(SortOrderEnum.__members__) == list(SortOrder.__members__)
