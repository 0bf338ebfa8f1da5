"""The shape of a search: what an index must be made of to serve it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.domain.query import Comparison, FieldPath, MessageQuery, Operator, conjuncts

__all__ = [
    "MAX_EQUAL",
    "Shape",
    "keyed_comparisons",
    "only_numbers",
    "page_shape",
    "scan_shape",
]

MAX_EQUAL: Final = 4
"""Fields compared by equality that one index is made of; of more, the first by name."""

_EQUALITIES: Final = (Operator.EQ, Operator.IN)
_RANGES: Final = (Operator.GT, Operator.GTE, Operator.LT, Operator.LTE)


@dataclass(frozen=True, slots=True)
class Shape:
    """Fields that all must have certain values, and at most one that is read in its order."""

    equal: tuple[FieldPath, ...] = ()
    """Sorted by name, so that equal shapes are equal."""
    ordered: FieldPath | None = None
    complete: bool = False
    """Whether the publish order must follow these fields at once: a page is read in it."""

    @property
    def fields(self) -> tuple[FieldPath, ...]:
        """The fields of the index that serves it."""
        return self.equal if self.ordered is None else (*self.equal, self.ordered)

    @property
    def is_indexable(self) -> bool:
        """Whether an index of paths below `data` would help, and no built-in one does."""
        return bool(self.fields) and all(field.name == "data" for field in self.fields)

    def is_served_by(self, fields: tuple[FieldPath, ...]) -> bool:
        """Return whether nothing is left to wish for of an index of these fields."""
        equal = len(self.equal)
        following = fields[equal:] if self.complete or self.ordered else ()
        return set(fields[:equal]) == set(self.equal) and following == self.fields[equal:]


def page_shape(query: MessageQuery, *, strings_in_order: bool) -> Shape:
    """Return the shape of a page of messages: its order comes before a range.

    Args:
        query: whose.
        strings_in_order: whether the database compares strings by code point. Where it does
            not, an index has the order of a path only if all that match have numbers there.
    """
    equal, sort = _equal(query), query.sort_field
    if (
        isinstance(sort, FieldPath)
        and sort.path
        and sort not in equal
        and (strings_in_order or only_numbers(query, sort))
    ):
        return Shape(equal, sort, complete=True)
    # Equals are read in publish order, and what is no equality is asked on the way.
    return (
        Shape(equal, complete=True)
        if equal
        else scan_shape(query, strings_in_order=strings_in_order)
    )


def scan_shape(query: MessageQuery, *, strings_in_order: bool) -> Shape:
    """Return the shape of what looks at all messages that match: counts, aggregates, groups."""
    equal = _equal(query)
    ranges = (
        one.field
        for one in conjuncts(query.filters)
        if isinstance(one, Comparison) and one.operator in _RANGES and one.field.path
        # Booleans are two values, which half of the messages have each.
        if not isinstance(one.value, bool) and (strings_in_order or not isinstance(one.value, str))
    )
    return Shape(equal, next((field for field in ranges if field not in equal), None))


def only_numbers(query: MessageQuery, field: FieldPath) -> bool:
    """Return whether all that match have a number there: then keys are in order everywhere."""
    return any(
        isinstance(one, Comparison)
        and one.field == field
        and one.operator in _RANGES
        and not isinstance(one.value, str | bool)
        for one in conjuncts(query.filters)
    )


def keyed_comparisons(query: MessageQuery) -> Iterator[Comparison]:
    """Yield what must hold of a query and compares a field with values that have keys."""
    for one in conjuncts(query.filters):
        if isinstance(one, Comparison) and one.operator in _EQUALITIES and _is_keyed(one):
            yield one


def _equal(query: MessageQuery) -> tuple[FieldPath, ...]:
    found = {one.field for one in keyed_comparisons(query)}
    return tuple(sorted(found, key=lambda field: (field.name, field.path))[:MAX_EQUAL])


def _is_keyed(comparison: Comparison) -> bool:
    """Return whether few messages have the key of the value, as far as the value tells."""
    field, value = comparison.field, comparison.value
    values = value if comparison.operator is Operator.IN and isinstance(value, list) else [value]
    if field.name == "data":
        return bool(field.path) and not any(isinstance(one, list | dict) for one in values)
    return field.name in {"client_id", "username"} and all(isinstance(one, str) for one in values)
