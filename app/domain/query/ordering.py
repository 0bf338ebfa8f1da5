"""The order of JSON values: as jsonb has it, strings by code point.

It is the order of `compareJsonbContainers` in PostgreSQL's jsonb_util.c: null, strings,
numbers, booleans, arrays, objects. One quirk: an empty array that is a whole value comes first.
https://www.postgresql.org/docs/current/datatype-json.html#JSON-INDEXING
"""

from functools import total_ordering
from typing import Any, Final, TypeAlias

__all__ = ["Descending", "OrderKey", "order_key"]

OrderKey: TypeAlias = tuple[Any, ...]
"""Compares with the key of any other value; equal for equal values."""

_NULL: Final[OrderKey] = (0,)
_EMPTY_ARRAY: Final[OrderKey] = (-1,)


def order_key(value: Any) -> OrderKey:
    """Return what sorts as `value` does.

    Args:
        value: plain decoded JSON: dict, list, str, int, Decimal, bool or None.
    """
    return _EMPTY_ARRAY if value == [] else _nested_key(value)


def _nested_key(value: Any) -> OrderKey:
    kind = type(value)
    if kind is str:
        return 1, value
    if kind is bool:
        return 3, value
    if value is None:
        return _NULL
    if kind is list:
        return 4, len(value), *map(_nested_key, value)
    if kind is dict:
        # jsonb stores shorter keys first.
        names = sorted(value, key=lambda name: (len(name.encode()), name))
        return 5, len(value), *((name, _nested_key(value[name])) for name in names)
    return 2, value


@total_ordering
class Descending:
    """A key that sorts the other way round, within a tuple whose other parts do not."""

    __slots__ = ("key",)

    def __init__(self, key: OrderKey) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and self.key == other.key

    def __lt__(self, other: "Descending") -> bool:
        return other.key < self.key

    __hash__ = None  # type: ignore[assignment]  # it is sorted, not looked up
