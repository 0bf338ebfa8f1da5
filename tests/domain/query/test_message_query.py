"""Reading a whole query."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.query.fields import FieldPath
from app.domain.query.filters import Comparison
from app.domain.query.message_query import (
    AggregateSort,
    MessageQuery,
    parse_limit,
    parse_query,
)
from app.domain.query.operators import AggregateFunction, Operator, SortOrder
from app.errors import BadUserInput
from tests.domain.query.test_filter_parser import almost_filters
from tests.domain.test_json_value import anything, refusal


def test_a_query_of_nothing_is_the_first_fifty_messages() -> None:
    nothing = dict.fromkeys(
        ["sortField", "sortOrder", "offset", "limit", "filters", "groupBy", "after", "before"],
        None,
    )
    assert parse_query({}) == parse_query(nothing) == MessageQuery()
    assert (MessageQuery().offset, MessageQuery().limit) == (0, 50)


def test_every_key_is_read() -> None:
    wire = {
        "sortField": "data.score",
        "sortOrder": "DESC",
        "offset": 100_000,
        "limit": 1000,
        "filters": [{"field": "username", "operator": "EQ", "value": "a"}],
    }
    assert parse_query(wire) == MessageQuery(
        filters=(Comparison(FieldPath("username"), Operator.EQ, "a"),),
        sort_field=FieldPath("data", ("score",)),
        descending=True,
        offset=100_000,
        limit=1000,
    )
    assert parse_query({"sortOrder": SortOrder.ASC}).descending is False


@pytest.mark.parametrize("sort_field", ["count", "key"])
def test_groups_sort_by_count_or_key(sort_field: str) -> None:
    query = parse_query({"groupBy": "data.liked", "sortField": sort_field})
    assert (query.group_by, query.sort_field) == (FieldPath("data", ("liked",)), sort_field)


@pytest.mark.parametrize("function", AggregateFunction)
def test_groups_sort_by_each_aggregate_of_any_field(function: AggregateFunction) -> None:
    for text, field in (
        ("data.score", FieldPath("data", ("score",))),
        ("clientId", FieldPath("client_id")),
        ("data.a(b)", FieldPath("data", ("a(b)",))),
        ("data. max(x)\n", FieldPath("data", (" max(x)\n",))),
    ):
        query = parse_query({"groupBy": "data.liked", "sortField": f"{function}({text})"})
        assert query.sort_field == AggregateSort(function, field)
    assert str(AggregateSort(function, FieldPath("data", ("a",)))) == f"{function}(data.a)"


@pytest.mark.parametrize(
    ("wire", "descending"),
    [
        ({}, False),
        ({"sortField": "data.score"}, False),
        ({"groupBy": "data"}, True),
        ({"groupBy": "data", "sortField": "count"}, True),
        ({"groupBy": "data", "sortField": "key"}, False),
        ({"groupBy": "data", "sortField": "min(data.a)"}, True),
        ({"groupBy": "data", "sortField": "min(data.a)", "sortOrder": "ASC"}, False),
        ({"groupBy": "data", "sortField": "key", "sortOrder": "DESC"}, True),
        ({"sortOrder": "DESC"}, True),
    ],
)
def test_groups_come_largest_first_and_all_else_smallest_first(
    wire: dict[str, Any], descending: bool
) -> None:
    assert parse_query(wire).is_descending is descending


def test_cursors_are_taken_as_they_come_in_publish_order() -> None:
    for order in ({}, {"sortField": "created"}, {"sortOrder": "DESC"}):
        query = parse_query({"after": "a", "before": "b" * 128, **order})
        assert (query.after, query.before) == ("a", "b" * 128)
    assert not parse_query({"groupBy": "created"}).in_publish_order
    assert not parse_query({"sortField": "id"}).in_publish_order


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ({"limit": -1}, "query.limit is -1; allowed: whole numbers from 0 to 1000"),
        ({"limit": 1001}, "query.limit is 1001; allowed: whole numbers from 0 to 1000"),
        ({"limit": 10**4000}, "query.limit is a very large number; allowed: whole numbers"),
        ({"limit": True}, "query.limit is true; allowed: whole numbers"),
        ({"limit": "5"}, "query.limit is '5'; allowed: whole numbers"),
        ({"limit": Decimal("1.5")}, "query.limit is 1.5; allowed: whole numbers"),
        ({"offset": -1}, "query.offset is -1; allowed: whole numbers from 0 to 100000"),
        ({"offset": 100_001}, "query.offset is 100001; allowed: whole numbers from 0 to 100000"),
        ({"sortOrder": "asc"}, "query.sortOrder is 'asc'; allowed: ASC and DESC"),
        ({"sortOrder": 1}, "query.sortOrder is 1; allowed: ASC and DESC"),
        ({"sortField": "score"}, "query.sortField is 'score'; allowed: id,"),
        (
            {"sortField": "count"},
            "query.sortField is 'count', which needs groupBy; allowed: id,",
        ),
        (
            {"sortField": "max(data.score)"},
            "query.sortField is 'max(data.score)', which needs groupBy; allowed: id,",
        ),
        *(
            (
                {"sortField": came, "groupBy": "data"},
                f"query.sortField is '{came}'; allowed with groupBy: count, key, or one of count, "
                "distinct, sum, avg, min, max of a field, such as max(data.score)",
            )
            for came in ("created", "MAX(data.score)", "max (data.a)", "median(data.a)", "max")
        ),
        (
            {"sortField": "sum(score)", "groupBy": "data"},
            "the field of sum in query.sortField is 'score'; allowed: id,",
        ),
        (
            {"sortField": "sum(data..a)", "groupBy": "data"},
            "the field of sum in query.sortField is 'data..a'; segments between dots must not",
        ),
        (
            {"before": "x", "groupBy": "data.a"},
            "query.before cannot be combined with groupBy; it pages in publish order: omit "
            "groupBy, and omit sortField or set it to created",
        ),
        (
            {"after": "x", "sortField": "data.a"},
            "query.after cannot be combined with sortField data.a; it pages in publish order",
        ),
        ({"after": 7}, "query.after is 7; expected the id of a message"),
        ({"before": "x" * 129}, "query.before has 129 characters, at most 128 are allowed"),
        ({"groupBy": "liked"}, "query.groupBy is 'liked'; allowed: id,"),
        ({"groupBy": ["data"]}, "query.groupBy is a list of 1; expected a string"),
        ({"filters": {}}, "query.filters is an object; expected a list of filters"),
        ({"filters": [{}]}, "query.filters[0] is an empty filter"),
        ({"sort": "id"}, "query has the key 'sort'; allowed: sortField, sortOrder, offset"),
        ([], "query is a list of 0; expected a query object"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(wire: Any, message: str) -> None:
    with pytest.raises(BadUserInput, match="^" + re.escape(message)):
        parse_query(wire)


def test_a_limit_elsewhere_has_its_own_default() -> None:
    assert parse_limit("limit", None, 10) == 10
    with pytest.raises(BadUserInput, match=r"^limit is 1001; allowed: whole numbers from 0 to"):
        parse_limit("limit", 1001, 10)


@given(
    anything
    | st.fixed_dictionaries(
        {},
        optional={
            "sortField": st.sampled_from(["count", "id", "data.a", "max(data.a)"]) | anything,
            "sortOrder": st.sampled_from(["ASC", "DESC"]) | anything,
            "offset": st.integers() | anything,
            "limit": st.integers() | anything,
            "filters": st.lists(almost_filters, max_size=2) | anything,
            "groupBy": st.just("data.a") | anything,
            "after": st.text() | anything,
            "before": st.text() | anything,
        },
    )
)
def test_whatever_comes_is_parsed_or_refused(wire: Any) -> None:
    refused = refusal(parse_query, wire)
    if refused:
        assert refused.startswith(("query", "the field of max in query.sortField"))
    else:
        query = parse_query(wire)
        assert 0 <= query.limit <= 1000
        assert 0 <= query.offset <= 100_000
