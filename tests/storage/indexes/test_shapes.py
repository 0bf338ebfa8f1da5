"""What an index must be made of to serve a search."""

from typing import Any

import pytest

from app.domain.query import parse_query
from app.storage.indexes.shapes import Shape, page_shape, scan_shape


def _where(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def _page(query: dict[str, Any], *, in_order: bool = True) -> Shape:
    return page_shape(parse_query(query), strings_in_order=in_order)


def _scan(query: dict[str, Any], *, in_order: bool = True) -> Shape:
    return scan_shape(parse_query(query), strings_in_order=in_order)


def _shown(shape: Shape) -> tuple[list[str], str | None]:
    return list(map(str, shape.equal)), None if shape.ordered is None else str(shape.ordered)


_A, _B = _where("data.a", "EQ", 1), _where("data.b", "IN", ["x", 2])
_FROM, _TEXT = _where("data.score", "GT", 5), _where("data.text", "CONTAINS", "x")


@pytest.mark.parametrize(
    ("query", "page", "scan"),
    [
        ({}, ([], None), ([], None)),
        ({"filters": [_A]}, (["data.a"], None), (["data.a"], None)),
        ({"filters": [_B, _A]}, (["data.a", "data.b"], None), (["data.a", "data.b"], None)),
        ({"filters": [{"and": [_B, {"and": [_A]}]}]}, (["data.a", "data.b"], None), None),
        ({"filters": [_TEXT]}, ([], None), ([], None)),
        ({"filters": [{"or": [_A, _B]}, {"not": _A}]}, ([], None), ([], None)),
        ({"filters": [_FROM]}, ([], "data.score"), ([], "data.score")),
        # Equals are read in publish order, so a range is asked on the way.
        ({"filters": [_FROM, _A]}, (["data.a"], None), (["data.a"], "data.score")),
        ({"filters": [_A], "sortField": "data.score"}, (["data.a"], "data.score"), None),
        ({"filters": [_FROM], "sortField": "data.top"}, ([], "data.top"), ([], "data.score")),
        ({"sortField": "data.score"}, ([], "data.score"), ([], None)),
        ({"filters": [_A], "sortField": "data.a"}, (["data.a"], None), None),
        ({"sortField": "username"}, ([], None), ([], None)),
        ({"filters": [_where("data.on", "GTE", True)]}, ([], None), ([], None)),
        ({"filters": [_where("data.a", "EQ", [1])]}, ([], None), ([], None)),
        ({"filters": [_where("data.a", "IN", [1, {}])]}, ([], None), ([], None)),
        ({"filters": [_where("data", "EQ", 1)]}, ([], None), ([], None)),
        ({"filters": [_where("clientId", "EQ", "c"), _A]}, (["client_id", "data.a"], None), None),
        ({"filters": [_where("username", "EQ", None)]}, ([], None), ([], None)),
        (
            {"filters": [_where(f"data.{name}", "EQ", 1) for name in "fedcba"]},
            (["data.a", "data.b", "data.c", "data.d"], None),
            None,
        ),
    ],
)
def test_a_shape_is_equalities_and_one_order(query: Any, page: Any, scan: Any) -> None:
    assert _shown(_page(query)) == page
    if scan is not None:
        assert _shown(_scan(query)) == scan


def test_what_a_built_in_index_narrows_down_asks_for_no_other() -> None:
    assert _page({"filters": [_A]}).is_indexable
    for query in ({}, {"filters": [_A, _where("clientId", "EQ", "c")]}):
        assert not _page(query).is_indexable


def test_a_page_needs_the_publish_order_at_once_and_a_scan_does_not() -> None:
    query = {"filters": [_A, _B]}
    page, scan = _page(query), _scan(query)
    a, b = page.equal
    other = _page({"sortField": "data.score"}).ordered
    assert other is not None
    for shape in (page, scan):
        assert shape.is_served_by((b, a))
        assert not shape.is_served_by((a,))
        assert not shape.is_served_by((a, other))
    assert scan.is_served_by((a, b, other))
    assert not page.is_served_by((a, b, other))
    by_score = _page({"filters": [_A], "sortField": "data.score"})
    assert by_score.is_served_by((a, other))
    assert not by_score.is_served_by((a, b, other))


def test_without_the_order_of_strings_an_index_has_the_order_of_numbers_only() -> None:
    from_x, top = _where("data.score", "GT", "x"), {"sortField": "data.score"}
    assert _shown(_scan({"filters": [from_x]})) == ([], "data.score")
    for query in (top, top | {"filters": [from_x]}):
        assert _shown(_page(query)) == ([], "data.score")
        assert _shown(_page(query, in_order=False)) == ([], None)
    numbers = top | {"filters": [_FROM]}
    assert _shown(_page(numbers, in_order=False)) == ([], "data.score")
