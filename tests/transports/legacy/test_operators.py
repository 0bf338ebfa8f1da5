import pytest

from app.domain.json_value import JsonValue
from app.errors import BadUserInput
from app.transports.legacy.operators import operator_name, query_wire


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        (">", "GT"),
        (" > ", "GT"),
        (">=", "GTE"),
        ("> =", "GTE"),
        ("<", "LT"),
        ("<=", "LTE"),
        ("=", "EQ"),
        ("==", "EQ"),
        ("!=", "NEQ"),
        ("<>", "NEQ"),
        ("greater than", "GT"),
        ("Greater  Than\tOr Equal To", "GTE"),
        ("less than", "LT"),
        ("less than or equal to", "LTE"),
        ("equal to", "EQ"),
        ("equals", "EQ"),
        ("not equal to", "NEQ"),
        ("in", "IN"),
        ("not in", "NOT_IN"),
        ("contains", "CONTAINS"),
        ("starts with", "STARTS_WITH"),
        ("startsWith", "STARTS_WITH"),
        ("ends with", "ENDS_WITH"),
        ("exists", "EXISTS"),
        ("gt", "GT"),
        ("Not_In", "NOT_IN"),
        ("ENDS_WITH", "ENDS_WITH"),
    ],
)
def test_signs_words_and_names_mean_the_same(spelling: str, name: str) -> None:
    assert operator_name("query.filters[0].operator", spelling) == name


@pytest.mark.parametrize("operator", ["", "~", "between", None, 7, ["="]])
def test_an_unknown_operator_is_refused_where_it_stands(operator: object) -> None:
    with pytest.raises(BadUserInput, match=r"^query\.filters\[1\]\.operator is .*; allowed: >"):
        operator_name("query.filters[1].operator", operator)


def test_the_documented_query_is_renamed_and_nothing_else() -> None:
    assert query_wire(
        {
            "sortField": "created",
            "sortOrder": "asc",
            "offset": 0,
            "limit": 10,
            "filters": [
                {"field": "created", "operator": ">", "value": 1678724096803},
                {"field": "data.score", "operator": ">", "value": 55},
            ],
        }
    ) == {
        "sortField": "created",
        "sortOrder": "ASC",
        "offset": 0,
        "limit": 10,
        "filters": [
            {"field": "created", "operator": "GT", "value": 1678724096803},
            {"field": "data.score", "operator": "GT", "value": 55},
        ],
    }


def test_operators_are_renamed_inside_combinators() -> None:
    assert query_wire(
        {"filters": [{"or": [{"operator": "="}, {"not": {"and": [{"operator": "in"}]}}]}]}
    ) == {"filters": [{"or": [{"operator": "EQ"}, {"not": {"and": [{"operator": "IN"}]}}]}]}


def test_null_counts_as_absent_except_as_a_value() -> None:
    wire = query_wire(
        {"groupBy": None, "limit": None, "filters": [{"operator": "=", "value": None, "or": None}]}
    )
    assert wire == {"filters": [{"operator": "EQ", "value": None}]}


def test_unknown_keys_are_ignored() -> None:
    known: dict[str, JsonValue] = {
        "totalRecords": True,
        "limit": 5,
        "page": 1,
        "order": "asc",
        "sort": "x",
        "where": {},
    }
    assert query_wire(known) == {"limit": 5}
    assert query_wire({str(n) * 9: n for n in range(50_000)}) == {}


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("filter", "filters"),
        ("fliters", "filters"),
        ("sortfield", "sortField"),
        ("groupby", "groupBy"),
    ],
)
def test_a_misspelt_key_is_refused(key: str, meant: str) -> None:
    """It was ignored, and the search found everything."""
    with pytest.raises(BadUserInput, match=f"query has no '{key}'; did you mean '{meant}'"):
        query_wire({key: "x"})
    assert query_wire({key: None}) == {}


def test_groups_are_not_sorted_by_the_created_of_the_sample_query() -> None:
    query = {"sortField": "created", "sortOrder": "asc", "groupBy": "data.liked"}
    assert query_wire(query) == {"groupBy": "data.liked"}
    assert query_wire({**query, "sortField": "key"})["sortField"] == "key"
    assert query_wire({**query, "sortField": "data.x"})["sortField"] == "data.x"


@pytest.mark.parametrize("filters", ["x", 7, {"field": "id"}, [1, "x", None, [[]]]])
def test_the_shape_is_left_to_the_query_language(filters: object) -> None:
    assert query_wire({"filters": filters}) == {"filters": filters}  # type: ignore[dict-item]


def test_filters_nested_without_end_are_left_alone() -> None:
    filters: dict[str, object] = {"operator": "="}
    for _ in range(900):
        filters = {"not": filters}
    query_wire({"filters": [filters]})  # type: ignore[list-item]


@pytest.mark.parametrize("item", [{}, {"not": {}}, {"or": []}, {"operator": ">"}, 1])
def test_filters_are_counted_before_they_are_renamed(item: JsonValue) -> None:
    """80,000 of them were renamed, with a place for each, before the first was refused."""
    with pytest.raises(BadUserInput, match="exceeds the limit of 500 filters per search"):
        query_wire({"filters": [item] * 80_000})
