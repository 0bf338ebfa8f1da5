"""The text of a page in the order of a path; that it finds the right ones is test_pages.py."""

import re

import pytest

from app.domain.query import FieldPath, MessageQuery, parse_query
from app.storage.indexes.sorted_pages import sorted_page
from tests.domain.query.strategies import CHANNEL
from tests.storage.indexes.conftest import index_on

_HOSTILE = "x'; DROP TABLE messages; --"
_SCORE = FieldPath("data", ("score",))
_HIGH = {"field": "data.score", "operator": "GT", "value": 5}
_TEXT = {"field": "data.text", "operator": "CONTAINS", "value": _HOSTILE}
_KNOWN = {"field": f"data.{_HOSTILE}", "operator": "EQ", "value": _HOSTILE}


def _page(query: MessageQuery) -> tuple[str, tuple[object, ...]]:
    return sorted_page(CHANNEL, query, _SCORE, index_on("score"), strings_in_order=True)


@pytest.mark.parametrize("order", ["ASC", "DESC"])
@pytest.mark.parametrize("filters", [[], [_HIGH], [_TEXT], [_TEXT, _HIGH, _KNOWN]])
def test_values_are_bound_and_each_parameter_is_named(
    order: str, filters: list[dict[str, object]]
) -> None:
    query = parse_query({"filters": filters, "sortField": "data.score", "sortOrder": order})
    sql, parameters = _page(query)
    assert "DROP" not in sql
    assert CHANNEL.key not in sql
    named = {int(number) for number in re.findall(r"\$(\d+)", sql)}
    assert named == set(range(1, len(parameters) + 1))


def test_equal_shapes_are_one_text_that_postgres_prepares_once() -> None:
    texts = {
        _page(parse_query({"filters": [_HIGH | {"value": value}], "limit": limit, **_TOP}))[0]
        for value, limit in ((1, 10), (2.5, 20))
    }
    assert len(texts) == 1


def test_only_what_may_be_missing_is_looked_for() -> None:
    for filters, missing in (([], True), ([_TEXT], True), ([_HIGH], False)):
        sql, _ = _page(parse_query({"filters": filters, **_TOP}))
        assert ("IS NULL" in sql) == missing


_TOP = {"sortField": "data.score", "sortOrder": "DESC"}
