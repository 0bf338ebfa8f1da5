"""Who is concerned by a message: found by value, or by asking filters once for all alike.

Filters that ask for one field to equal one value are found by that value: ten thousand
different ones cost a look-up, not ten thousand evaluations.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, TypeAlias, TypeVar

from app.domain.message import Message
from app.domain.query import CompiledFilters, FieldPath
from app.domain.query.equality import scalar_key
from app.domain.query.matching import field_getter

__all__ = ["ByFilters"]

Item = TypeVar("Item", bound=Hashable)

_Alike: TypeAlias = dict[CompiledFilters, dict[Item, None]]
"""Items by their filters, so that the same are asked once."""


class _ByValue(Generic[Item]):
    """Items that want one field to equal a value, by the value."""

    __slots__ = ("alike", "get")

    def __init__(self, field: FieldPath) -> None:
        self.get: Callable[[Message], Any] = field_getter(field)
        self.alike: dict[Hashable, _Alike[Item]] = {}


class ByFilters(Generic[Item]):
    """Items, each with the filters that a message must pass to concern it."""

    def __init__(self) -> None:
        self._others: _Alike[Item] = {}
        self._by_value: dict[FieldPath, _ByValue[Item]] = {}

    def add(self, item: Item, filters: CompiledFilters) -> None:
        """Find the item from now on."""
        if filters.equality is None:
            alike = self._others
        else:
            field, value = filters.equality
            by_value = self._by_value.setdefault(field, _ByValue(field))
            alike = by_value.alike.setdefault(value, {})
        alike.setdefault(filters, {})[item] = None

    def remove(self, item: Item, filters: CompiledFilters) -> None:
        """Find the item no more that was added with these filters."""
        if filters.equality is None:
            _remove(self._others, item, filters)
            return
        field, value = filters.equality
        by_value = self._by_value[field].alike
        _remove(by_value[value], item, filters)
        if not by_value[value]:
            del by_value[value]
        if not by_value:
            del self._by_value[field]

    def candidates(self, message: Message) -> Iterator[tuple[CompiledFilters, dict[Item, None]]]:
        """Give the filters that may accept a message, and whose they are; ask each."""
        yield from self._others.items()
        for by_value in self._by_value.values():
            value = scalar_key(by_value.get(message))
            if value is not None:
                yield from by_value.alike.get(value, {}).items()


def _remove(alike: _Alike[Item], item: Item, filters: CompiledFilters) -> None:
    items = alike[filters]
    del items[item]
    if not items:
        del alike[filters]
