"""Reading a whole query."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.query.fields import FieldPath
from app.domain.query.filters import Comparison
from app.domain.query.message_query import MessageQuery, parse_limit, parse_query
from app.domain.query.operators import Operator, SortOrder
from app.errors import BadUserInput
from tests.domain.query.test_filter_parser import almost_filters
from tests.domain.test_json_value import anything, refusal


def test_a_query_of_nothing_is_the_first_fifty_messages() -> None:
    nothing = dict.fromkeys(
        ["sortField", "sortOrder", "offset", "limit", "filters", "groupBy"], None
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


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ({"limit": -1}, "query.limit is -1; allowed are whole numbers from 0 to 1000"),
        ({"limit": 1001}, "query.limit is 1001; allowed are whole numbers from 0 to 1000"),
        ({"limit": 10**4000}, "query.limit is a very large number; allowed are whole numbers"),
        ({"limit": True}, "query.limit is true; allowed are whole numbers"),
        ({"limit": "5"}, "query.limit is '5'; allowed are whole numbers"),
        ({"limit": Decimal("1.5")}, "query.limit is 1.5; allowed are whole numbers"),
        ({"offset": -1}, "query.offset is -1; allowed are whole numbers from 0 to 100000"),
        ({"offset": 100_001}, "query.offset is 100001; allowed are whole numbers from 0 to 100000"),
        ({"sortOrder": "asc"}, "query.sortOrder is 'asc'; allowed are ASC and DESC"),
        ({"sortOrder": 1}, "query.sortOrder is 1; allowed are ASC and DESC"),
        ({"sortField": "score"}, "query.sortField is 'score'; allowed are id,"),
        ({"sortField": "count"}, "query.sortField is 'count'; allowed are id,"),
        (
            {"sortField": "created", "groupBy": "data"},
            "query.sortField is 'created'; with groupBy allowed are count and key",
        ),
        ({"groupBy": "liked"}, "query.groupBy is 'liked'; allowed are id,"),
        ({"groupBy": ["data"]}, "query.groupBy is a list of 1; allowed is a string"),
        ({"filters": {}}, "query.filters is an object; allowed is a list of filters"),
        ({"filters": [{}]}, "query.filters[0] is an empty filter"),
        ({"sort": "id"}, "query has the key 'sort'; allowed are sortField, sortOrder, offset"),
        ([], "query is a list of 0; allowed is a query object"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(wire: Any, message: str) -> None:
    with pytest.raises(BadUserInput, match="^" + re.escape(message)):
        parse_query(wire)


def test_a_limit_elsewhere_has_its_own_default() -> None:
    assert parse_limit("limit", None, 10) == 10
    with pytest.raises(BadUserInput, match=r"^limit is 1001; allowed are whole numbers from 0 to"):
        parse_limit("limit", 1001, 10)


@given(
    anything
    | st.fixed_dictionaries(
        {},
        optional={
            "sortField": st.sampled_from(["count", "id", "data.a"]) | anything,
            "sortOrder": st.sampled_from(["ASC", "DESC"]) | anything,
            "offset": st.integers() | anything,
            "limit": st.integers() | anything,
            "filters": st.lists(almost_filters, max_size=2) | anything,
            "groupBy": st.just("data.a") | anything,
        },
    )
)
def test_whatever_comes_is_parsed_or_refused(wire: Any) -> None:
    refused = refusal(parse_query, wire)
    if refused:
        assert refused.startswith("query")
    else:
        query = parse_query(wire)
        assert 0 <= query.limit <= 1000
        assert 0 <= query.offset <= 100_000
