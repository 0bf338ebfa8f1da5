"""The query language once more, as plainly as it can be said: what the SQL is held to.

jsonb's order is that of `compareJsonbContainers` in PostgreSQL's jsonb_util.c, quirk included:
an empty array at the top sorts before everything else.
https://www.postgresql.org/docs/current/datatype-json.html#JSON-INDEXING
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from app.domain.message import Message
from app.domain.query import FieldPath, MessageQuery, matches
from app.domain.query.matching import MISSING, field_getter

T = TypeVar("T")

__all__ = ["Aggregate", "aggregate", "chosen", "groups", "order_key", "page"]


@dataclass(frozen=True)
class Aggregate:
    """What `AggregateRow` says, with values in the place of JSON text."""

    count: int
    min_key: object
    max_key: object
    sum: float | None
    avg: float | None


def order_key(value: Any) -> Any:
    """Return a tuple that sorts as jsonb sorts `value`, strings by code point."""
    return (-1,) if value == [] else _nested_key(value)


def _nested_key(value: Any) -> Any:
    if value is None:
        return (0,)
    if isinstance(value, str):
        return (1, value)
    if isinstance(value, bool):
        return (3, value)
    if isinstance(value, list):
        return (4, len(value), *map(_nested_key, value))
    if isinstance(value, dict):
        # jsonb stores shorter keys first.
        keys = sorted(value, key=lambda key: (len(key.encode()), key))
        pairs = [part for key in keys for part in (_nested_key(key), _nested_key(value[key]))]
        return (5, len(value), *pairs)
    return (2, value)


def chosen(messages: list[Message], query: MessageQuery) -> list[Message]:
    """Return the messages that match, in publish order."""
    return [
        message
        for message in messages
        if all(matches(message, condition) for condition in query.filters)
    ]


def page(messages: list[Message], query: MessageQuery) -> list[Message]:
    """Return the query's page."""
    field = query.sort_field or FieldPath("created")
    assert isinstance(field, FieldPath)
    get, found = field_getter(field), chosen(messages, query)
    present = [message for message in found if get(message) is not MISSING]
    missing = [message for message in found if get(message) is MISSING]
    # Python's sort keeps the order of equals, reversed or not.
    present.sort(key=lambda message: order_key(get(message)), reverse=bool(query.descending))
    return _cut(present + missing, query)


def groups(messages: list[Message], query: MessageQuery) -> list[tuple[object, list[Message]]]:
    """Return the query's page of groups: the order key of each one's value, and its messages."""
    assert query.group_by
    get = field_getter(query.group_by)
    found: dict[object, list[Message]] = {}
    for message in chosen(messages, query):
        value = get(message)
        found.setdefault(order_key(None if value is MISSING else value), []).append(message)
    all_groups = list(found.items())
    by: Callable[[Any], Any]
    if query.sort_field == "key":
        by, descending = (lambda group: group[0]), bool(query.descending)
    else:
        by, descending = (lambda group: len(group[1])), query.descending is not False
    all_groups.sort(key=by, reverse=descending)
    return _cut(all_groups, query)


def aggregate(messages: list[Message], field: FieldPath) -> Aggregate:
    """Return what `field` comes to over messages that were chosen before."""
    get = field_getter(field)
    values = [value for value in map(get, messages) if value is not MISSING and value is not None]
    keys = sorted(map(order_key, values))
    numbers = [Fraction(value) for kind, *rest in keys if kind == 2 for value in rest]
    total = sum(numbers, Fraction(0))
    return Aggregate(
        count=len(values),
        min_key=keys[0] if keys else None,
        max_key=keys[-1] if keys else None,
        sum=_double(total) if numbers else None,
        avg=_double(total / len(numbers)) if numbers else None,
    )


def _double(exact: Fraction) -> float | None:
    try:
        return float(exact)
    except OverflowError:
        return None


def _cut(items: list[T], query: MessageQuery) -> list[T]:
    return items[query.offset : query.offset + query.limit]
