"""A query with its fields by keys is the same query."""

from dataclasses import replace

from app.domain.query import FieldPath, parse_query
from app.storage.indexes.indexed_query import (
    UNINDEXED,
    IndexedFields,
    indexed_fields,
    with_indexed,
)

_QUERY = parse_query({"filters": [{"field": "data.a", "operator": "EQ", "value": 1}], "limit": 7})


def test_nothing_else_changes() -> None:
    fields = IndexedFields(frozenset({FieldPath("data", ("a",))}), strings_in_order=True)
    written = with_indexed(_QUERY, fields)
    assert (written.filters, written.limit) == (_QUERY.filters, 7)
    assert indexed_fields(written) == fields
    assert indexed_fields(replace(written, limit=8)) == fields
    assert indexed_fields(with_indexed(written, UNINDEXED)) == UNINDEXED


def test_a_query_as_it_came_has_none() -> None:
    assert indexed_fields(_QUERY) == UNINDEXED
