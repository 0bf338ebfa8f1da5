"""The query language: one meaning for queries, subscriptions, live queries and legacy search.

`parse_query` and `parse_filters` read a request, `compile_filter` and `matches` decide in
memory, and `app.storage.search` asks Postgres the same questions.
"""

from app.domain.query.compiled_filters import EVERY_MESSAGE, CompiledFilters
from app.domain.query.fields import FieldPath, parse_field
from app.domain.query.filter_parser import parse_filter, parse_filters
from app.domain.query.filters import And, Comparison, Filter, Not, Or, conjuncts
from app.domain.query.matching import compile_filter, matches
from app.domain.query.message_query import (
    AggregateSort,
    GroupSort,
    MessageQuery,
    parse_limit,
    parse_query,
)
from app.domain.query.operators import AggregateFunction, Operator, SortOrder

__all__ = [
    "EVERY_MESSAGE",
    "AggregateFunction",
    "AggregateSort",
    "And",
    "Comparison",
    "CompiledFilters",
    "FieldPath",
    "Filter",
    "GroupSort",
    "MessageQuery",
    "Not",
    "Operator",
    "Or",
    "SortOrder",
    "compile_filter",
    "conjuncts",
    "matches",
    "parse_field",
    "parse_filter",
    "parse_filters",
    "parse_limit",
    "parse_query",
]
