"""What the values of one field come to, value by value."""

from collections.abc import Hashable, Iterable
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from fractions import Fraction
from typing import Any, Final, TypeAlias

from app.domain.json_value import JsonValue, encode_json
from app.domain.query.equality import json_key
from app.domain.query.ordering import OrderKey, order_key
from app.domain.results.effect import Effect
from app.domain.results.found import AggregateRow, sum_and_average
from app.domain.results.large import is_large

__all__ = ["Tally"]

_EXACT: Final = Context(prec=4_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])
"""A number has at most 709 digits before and after the point; so a sum of them is exact."""
_BYTES: Final = 300
_BYTES_A_VALUE: Final = 150

_Extreme: TypeAlias = tuple[OrderKey, JsonValue]


class Tally:
    """The aggregate of one field over some messages.

    Args:
        counts_distinct: whether each different value is counted, and held for that.
    """

    __slots__ = ("_distinct", "_max", "_min", "_numbers", "_sum", "count", "size")

    def __init__(self, *, counts_distinct: bool = False) -> None:
        self.count = 0
        """Values that are present and not null."""
        self.size = _BYTES
        """Bytes of memory, roughly."""
        self._numbers = 0
        self._sum: int | Decimal = 0
        self._min: _Extreme | None = None
        self._max: _Extreme | None = None
        self._distinct: dict[Hashable, int] | None = {} if counts_distinct else None

    @classmethod
    def of(
        cls,
        count: int,
        numbers: int,
        total: int | Decimal,
        extremes: tuple[JsonValue, JsonValue] | None,
        distinct: Iterable[tuple[JsonValue, int]] | None,
    ) -> "Tally":
        """Return the tally of values that were counted elsewhere.

        Args:
            count: values that are present and not null.
            numbers: those of them that are numbers.
            total: the sum of the numbers.
            extremes: the smallest and the largest value; None: there is none.
            distinct: each different value and how often it is there; None: not needed.
        """
        tally = cls(counts_distinct=distinct is not None)
        tally.count, tally._numbers, tally._sum = count, numbers, total
        if extremes is not None:
            least, most = extremes
            tally._min, tally._max = (order_key(least), least), (order_key(most), most)
        if distinct is not None:
            tally._distinct = {json_key(value): times for value, times in distinct}
            tally.size += _BYTES_A_VALUE * len(tally._distinct)
        return tally

    @property
    def row(self) -> AggregateRow:
        """What the values come to now."""
        total, average = sum_and_average(self._sum, self._numbers)
        return AggregateRow(
            count=self.count,
            min_json=None if self._min is None else encode_json(self._min[1]),
            max_json=None if self._max is None else encode_json(self._max[1]),
            sum=total,
            avg=average,
            distinct=len(self._distinct or ()),
        )

    def add(self, value: Any) -> Effect:
        """Count a value: decoded JSON, or `MISSING`."""
        if not _is_value(value):
            return Effect.NOTHING
        if is_large(value):
            return Effect.TOO_LARGE
        self.count += 1
        if _is_number(value):
            self._numbers += 1
            self._sum = _added(self._sum, value)
        key = order_key(value)
        if self._min is None or key < self._min[0]:
            self._min = key, value
        if self._max is None or self._max[0] < key:
            self._max = key, value
        if self._distinct is not None:
            place = json_key(value)
            self._distinct[place] = self._distinct.get(place, 0) + 1
            if self._distinct[place] == 1:
                self.size += _BYTES_A_VALUE
        return Effect.CHANGED

    def remove(self, value: Any) -> Effect:
        """Count a value no more that was counted before."""
        if not _is_value(value):
            return Effect.NOTHING
        if is_large(value):
            return Effect.TOO_LARGE
        self.count -= 1
        if _is_number(value):
            self._numbers -= 1
            self._sum = _added(self._sum, -value)
        if self._distinct is not None:
            place = json_key(value)
            self._distinct[place] -= 1
            if not self._distinct[place]:
                del self._distinct[place]
                self.size -= _BYTES_A_VALUE
        if not self.count:
            self._min = self._max = None
            return Effect.CHANGED
        assert self._min is not None
        assert self._max is not None
        # Whether there is another one like it is not known.
        return Effect.LOST if order_key(value) in (self._min[0], self._max[0]) else Effect.CHANGED

    def sort_value(self, function: str) -> OrderKey | None:
        """Return what groups are sorted by for an aggregate function; None: there is no value."""
        match function:
            case "count":
                return (self.count,)
            case "distinct":
                return (len(self._distinct or ()),)
            case "sum":
                return (Fraction(self._sum),) if self._numbers else None
            case "avg":
                return (Fraction(self._sum) / self._numbers,) if self._numbers else None
        extreme = self._min if function == "min" else self._max
        return None if extreme is None else extreme[0]


def _is_value(value: Any) -> bool:
    # JSON null counts as no value, as NULL does in SQL's own aggregates.
    return isinstance(value, str | int | Decimal | list | dict)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _added(total: int | Decimal, number: int | Decimal) -> int | Decimal:
    if type(total) is int and type(number) is int:
        return total + number
    return _EXACT.add(Decimal(total), Decimal(number))
