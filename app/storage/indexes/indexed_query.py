"""A query together with the fields that an index lets its statement compare by keys."""

import dataclasses
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.domain.query import FieldPath, MessageQuery

__all__ = ["UNINDEXED", "IndexedFields", "IndexedQuery", "indexed_fields", "with_indexed"]


class IndexedFields(NamedTuple):
    """The fields of one statement that are compared by their keys."""

    fields: frozenset[FieldPath] = frozenset()
    """Paths below `data`; columns are their own keys."""
    strings_in_order: bool = False
    """Whether the database compares strings by code point: then keys of strings are in order."""


UNINDEXED: Final = IndexedFields()


@dataclass(frozen=True, slots=True)
class IndexedQuery(MessageQuery):
    """The same query, and how its statement is written."""

    indexed: IndexedFields = UNINDEXED


def with_indexed(query: MessageQuery, indexed: IndexedFields) -> IndexedQuery:
    """Return the query whose statement compares these fields by their keys."""
    parts = {one.name: getattr(query, one.name) for one in dataclasses.fields(MessageQuery)}
    return IndexedQuery(**parts, indexed=indexed)


def indexed_fields(query: MessageQuery) -> IndexedFields:
    """Return the fields that the query's statement compares by their keys."""
    return query.indexed if isinstance(query, IndexedQuery) else UNINDEXED
