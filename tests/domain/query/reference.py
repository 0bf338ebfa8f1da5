"""The query language once more, as plainly as it can be said: what the SQL is held to.

jsonb's order is that of `compareJsonbContainers` in PostgreSQL's jsonb_util.c, quirk included:
an empty array at the top sorts before everything else.
https://www.postgresql.org/docs/current/datatype-json.html#JSON-INDEXING
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

from app.domain.message import Message
from app.domain.query import (
    AggregateFunction,
    AggregateSort,
    FieldPath,
    MessageQuery,
    matches,
)
from app.domain.query.matching import MISSING, field_getter

T = TypeVar("T")

__all__ = ["Aggregate", "aggregate", "chosen", "groups", "neighbours", "order_key", "page"]


@dataclass(frozen=True)
class Aggregate:
    """What `AggregateRow` says, with values in the place of JSON text."""

    count: int
    distinct: int
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
    """Return the messages that match, between the cursors and in publish order."""
    ids = [message.id for message in messages]
    start = 0 if query.after is None else ids.index(query.after) + 1
    end = len(ids) if query.before is None else ids.index(query.before)
    return [
        message
        for message in messages[start:end]
        if all(matches(message, condition) for condition in query.filters)
    ]


def page(messages: list[Message], query: MessageQuery) -> list[Message]:
    """Return the query's page."""
    return _cut(_in_order(messages, query), query)


def neighbours(messages: list[Message], query: MessageQuery) -> tuple[bool, bool]:
    """Return whether there is more after the query's page, and whether there is any before it."""
    everything = _in_order(messages, replace(query, after=None, before=None))
    found = _in_order(messages, query)
    more = len(found) > query.offset + query.limit
    start = query.before if query.is_descending else query.after
    skipped = bool(found) and query.offset > 0
    if start is not None:
        place = [message.id for message in messages].index(start)
        passed = messages[place:] if query.is_descending else messages[: place + 1]
        skipped = skipped or any(message in everything for message in passed)
    return more, skipped


def _in_order(messages: list[Message], query: MessageQuery) -> list[Message]:
    found = chosen(messages, query)
    if query.in_publish_order:
        return found[::-1] if query.is_descending else found
    field = query.sort_field
    assert isinstance(field, FieldPath)
    get = field_getter(field)
    present = [message for message in found if get(message) is not MISSING]
    missing = [message for message in found if get(message) is MISSING]
    # Python's sort keeps the order of equals, reversed or not.
    present.sort(key=lambda message: order_key(get(message)), reverse=query.is_descending)
    return present + missing


def groups(messages: list[Message], query: MessageQuery) -> list[tuple[object, list[Message]]]:
    """Return the query's page of groups: the order key of each one's value, and its messages."""
    assert query.group_by
    get = field_getter(query.group_by)
    found: dict[object, list[Message]] = {}
    for message in chosen(messages, query):
        value = get(message)
        found.setdefault(order_key(None if value is MISSING else value), []).append(message)
    all_groups = list(found.items())
    by = {id(group): _group_key(group, query) for group in all_groups}
    valued = [group for group in all_groups if by[id(group)] is not None]
    valued.sort(key=lambda group: by[id(group)], reverse=query.is_descending)
    return _cut(valued + [group for group in all_groups if by[id(group)] is None], query)


def _group_key(group: tuple[object, list[Message]], query: MessageQuery) -> Any:
    key, members = group
    match query.sort_field:
        case "key":
            return key
        case AggregateSort(function, field):
            values = sorted(map(order_key, _values(members, field)))
            return _ORDERED_BY[function](values, _numbers(values))
        case _:
            return len(members)


_ORDERED_BY: dict[AggregateFunction, Callable[[list[Any], list[Fraction]], Any]] = {
    AggregateFunction.COUNT: lambda values, _: len(values),
    AggregateFunction.DISTINCT: lambda values, _: len(set(values)),
    AggregateFunction.MIN: lambda values, _: values[0] if values else None,
    AggregateFunction.MAX: lambda values, _: values[-1] if values else None,
    AggregateFunction.SUM: lambda _, numbers: sum(numbers) if numbers else None,
    AggregateFunction.AVG: lambda _, numbers: sum(numbers) / len(numbers) if numbers else None,
}


def aggregate(messages: list[Message], field: FieldPath) -> Aggregate:
    """Return what `field` comes to over messages that were chosen before."""
    keys = sorted(map(order_key, _values(messages, field)))
    numbers = _numbers(keys)
    total = sum(numbers, Fraction(0))
    return Aggregate(
        count=len(keys),
        distinct=len(set(keys)),
        min_key=keys[0] if keys else None,
        max_key=keys[-1] if keys else None,
        sum=_double(total) if numbers else None,
        avg=_double(total / len(numbers)) if numbers else None,
    )


def _values(messages: list[Message], field: FieldPath) -> list[Any]:
    found = map(field_getter(field), messages)
    return [value for value in found if value is not MISSING and value is not None]


def _numbers(keys: list[Any]) -> list[Fraction]:
    return [Fraction(value) for kind, *rest in keys if kind == 2 for value in rest]


def _double(exact: Fraction) -> float | None:
    try:
        return float(exact)
    except OverflowError:
        return None


def _cut(items: list[T], query: MessageQuery) -> list[T]:
    return items[query.offset : query.offset + query.limit]
