"""The filters of a subscription, compiled once, and what they cost while it is open."""

from collections.abc import Hashable, Sequence
from typing import Final

from app.domain.held_bytes import held_bytes
from app.domain.query.equality import scalar_key
from app.domain.query.fields import FieldPath
from app.domain.query.filters import And, Comparison, Filter, Not, Or
from app.domain.query.matching import MessageTest, compile_filter
from app.domain.query.operators import Operator

__all__ = ["EVERY_MESSAGE", "CompiledFilters", "equality_of"]

_LIGHT_COMPARISONS: Final = 10
_BY_EQUALITY: Final = frozenset({Operator.EQ, Operator.NEQ, Operator.IN, Operator.NOT_IN})


class CompiledFilters:
    """Filters that must all hold. Compared by identity: equal ones are made one by their owner.

    Args:
        filters: as they were parsed.
    """

    __slots__ = ("accept", "equality", "filters", "held_bytes", "light", "searches")

    def __init__(self, filters: Sequence[Filter] = ()) -> None:
        self.filters = tuple(filters)
        self.accept: MessageTest = compile_filter(And(self.filters))
        """Tells whether all of them hold for a message."""
        comparisons = [one for each in self.filters for one in _comparisons(each)]
        self.searches = sum(one.operator is Operator.CONTAINS for one in comparisons)
        """Comparisons that read a text or an array from end to end."""
        self.light = (
            not self.searches
            and len(comparisons) <= _LIGHT_COMPARISONS
            and not any(map(_looks_into_values, comparisons))
        )
        """Whether a message takes a few microseconds at most, whatever is in it."""
        self.equality = equality_of(self.filters)
        """A field, and the key of the scalar that it must equal; None: no such filter."""
        self.held_bytes = held_bytes(self)
        """Memory that is held while they are in use."""


def equality_of(filters: Sequence[Filter]) -> tuple[FieldPath, Hashable] | None:
    """Return the first field that must equal a scalar, and that one's key; None: there is none."""
    return next((found for found in map(_equality, filters) if found), None)


def _comparisons(one: Filter) -> list[Comparison]:
    match one:
        case Comparison():
            return [one]
        case Not(inner):
            return _comparisons(inner)
        case And(filters) | Or(filters):
            return [found for each in filters for found in _comparisons(each)]


def _looks_into_values(one: Comparison) -> bool:
    """Return whether arrays and objects are compared: that takes as long as they are large."""
    if one.operator not in _BY_EQUALITY:
        return False
    operand = one.value
    if one.operator in (Operator.IN, Operator.NOT_IN):
        assert isinstance(operand, list)
        return any(isinstance(item, list | dict) for item in operand)
    return isinstance(operand, list | dict)


def _equality(one: Filter) -> tuple[FieldPath, Hashable] | None:
    if isinstance(one, Comparison) and one.operator is Operator.EQ and one.value is not None:
        key = scalar_key(one.value)
        if key is not None:
            return one.field, key
    return None


EVERY_MESSAGE: Final = CompiledFilters()
"""No filters: every message is accepted."""
