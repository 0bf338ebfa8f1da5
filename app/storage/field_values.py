"""What the values of one field come to: one way, wherever an aggregate is shown or sorted by."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Numeric,
    Select,
    Subquery,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, array

from app.domain.query import AggregateFunction, FieldPath
from app.storage.predicates import json_of

__all__ = ["JSON_NULL", "Values", "value_of"]

JSON_NULL: Final[ColumnElement[Any]] = literal_column("'null'::jsonb", JSONB)

_ZERO: Final[ColumnElement[int]] = literal_column("0")
_EXACT_DIGITS: Final[ColumnElement[int]] = literal_column("430")
"""Digits after the point that tell any two averages apart: 400 of a sum, and 20 for two counts."""
_OF_NUMBERS: Final = frozenset({AggregateFunction.SUM, AggregateFunction.AVG})


def value_of(field: FieldPath) -> ColumnElement[Any]:
    """Return the column `value`: NULL where the field is missing, or null."""
    # JSON null counts as no value, as NULL does in SQL's own aggregates.
    return func.nullif(json_of(field), JSON_NULL, type_=JSONB).label("value")


class Values:
    """The values of one field, ready to be aggregated.

    Args:
        chosen: selects `value`, beside it what to group by, and maybe `sequence`.
        functions: what will be asked for.
    """

    def __init__(self, chosen: Select[Any], functions: Collection[AggregateFunction]) -> None:
        rows = _computed_once(chosen)
        self._repeated = AggregateFunction.DISTINCT in functions
        if self._repeated:
            # Values that are equal become one row: hashing them costs half of sorting them.
            kept = [one for one in rows.c if one.name != "sequence"]
            folded = select(*kept, func.count().label("times")).group_by(*kept)
            if "sequence" in rows.c:
                folded = folded.add_columns(func.min(rows.c.sequence).label("sequence"))
            rows = folded.subquery()
        if not _OF_NUMBERS.isdisjoint(functions):
            rows = _computed_once(select(*rows.c, _number(rows.c.value).label("number")))
        self.rows: Any = rows.c
        """The columns."""

    @property
    def messages(self) -> ColumnElement[int]:
        """How many messages there are, with a value or without."""
        return self._sum(self.rows.times) if self._repeated else func.count()

    def ordered_by(self, function: AggregateFunction) -> ColumnElement[Any]:
        """Return what groups are sorted by: exact, and NULL where there is no value."""
        if function is AggregateFunction.AVG:
            # Division has as many digits as what it divides.
            return func.round(self._total(), _EXACT_DIGITS) / self._numbers()
        return self._by_function[function]()

    def columns(self, functions: Collection[AggregateFunction]) -> list[ColumnElement[Any]]:
        """Return what is asked for, by name; for `avg`, `sum` and the count of `numbers`."""
        found = {
            str(function): self.ordered_by(function)
            for function in functions
            if function is not AggregateFunction.AVG
        }
        if not _OF_NUMBERS.isdisjoint(functions):
            found |= {"sum": self._total(), "numbers": self._numbers()}
        return [one.label(name) for name, one in found.items()]

    @property
    def _by_function(self) -> Mapping[AggregateFunction, Callable[[], ColumnElement[Any]]]:
        return {
            AggregateFunction.COUNT: lambda: self._times(self.rows.value),
            AggregateFunction.DISTINCT: lambda: func.count(self.rows.value),
            AggregateFunction.SUM: self._total,
            AggregateFunction.MIN: lambda: self._extreme(func.min),
            AggregateFunction.MAX: lambda: self._extreme(func.max),
        }

    def _total(self) -> ColumnElement[Any]:
        number = self.rows.number
        return func.sum(number * self.rows.times if self._repeated else number)

    def _numbers(self) -> ColumnElement[int]:
        return self._times(self.rows.number)

    def _times(self, present: ColumnElement[Any]) -> ColumnElement[int]:
        """How many messages have it."""
        if self._repeated:
            return self._sum(case((present.is_not(None), self.rows.times)))
        return func.count(present)

    @staticmethod
    def _sum(times: ColumnElement[Any]) -> ColumnElement[int]:
        return cast(func.coalesce(func.sum(times), _ZERO), BigInteger)

    def _extreme(self, find: Any) -> ColumnElement[Any]:
        # jsonb has an order but no min and max; arrays have all three, and compare by element.
        value = self.rows.value
        found: ColumnElement[Any] = find(array([value]), type_=ARRAY(JSONB))
        return found.filter(value.is_not(None))  # type: ignore[no-any-return]


def _computed_once(statement: Select[Any]) -> Subquery:
    # Without an OFFSET Postgres puts the expression in the place of each name of it, and reads
    # the path again and again.
    return statement.offset(_ZERO).subquery()


def _number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    is_number = func.jsonb_typeof(value) == literal_column("'number'")
    return case((is_number, cast(value, Numeric)))
