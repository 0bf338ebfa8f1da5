"""From a request's filters to `Filter` values: every mistake is named, every size bounded."""

from collections.abc import Mapping
from typing import Final

from app.domain.json_value import json_shown
from app.domain.query.field_types import check_operand
from app.domain.query.fields import parse_field
from app.domain.query.filters import And, Comparison, Filter, Not, Or
from app.domain.query.operands import Operands, needed
from app.domain.query.operators import Operator
from app.errors import BadUserInput

__all__ = [
    "MAX_COMPARISONS",
    "MAX_NESTING",
    "parse_filter",
    "parse_filters",
]

MAX_NESTING: Final = 8
"""Filters inside one another, the outermost included."""
MAX_COMPARISONS: Final = 64
"""Comparisons of one request; an `and` or `or` of nothing counts as one."""

_COMPARISON_KEYS: Final = ("field", "operator", "value")
_COMBINATORS: Final = ("and", "or", "not")
_KEYS: Final = frozenset(_COMPARISON_KEYS + _COMBINATORS)
_SHAPE: Final = "expected field, operator and value together, or one of and, or, not"


def parse_filter(wire: Mapping[str, object], at: str = "filters[0]") -> Filter:
    """Return the filter that a request's object means.

    Args:
        wire: an object with `field`, `operator` and `value`, or with one of `and`, `or` and
            `not`; a key whose value is None is taken as absent, except `value`.
        at: the place in the request, for errors.

    Raises:
        BadUserInput: neither form or both, an unknown field or operator, a value that the
            operator does not take or the field cannot have, more than 8 levels or 64
            comparisons, more than 2000 values or 64 KiB of JSON text in all comparisons'
            values together.
    """
    return _Parser().filter(wire, at, MAX_NESTING)


def parse_filters(wire: object, at: str = "filters") -> tuple[Filter, ...]:
    """Return the filters of a list, all of which must hold; the bounds are for all together.

    Args:
        wire: a list of filter objects; None means none.
        at: the place in the request, for errors.

    Raises:
        BadUserInput: not a list, or as `parse_filter`.
    """
    return _Parser().filters(wire, at, MAX_NESTING) if wire is not None else ()


class _Parser:
    """One request's filters; it counts their comparisons and values."""

    def __init__(self) -> None:
        self._comparisons = 0
        self._operands = Operands()

    def filters(self, wire: object, at: str, levels_left: int) -> tuple[Filter, ...]:
        if not isinstance(wire, list | tuple):
            raise BadUserInput(f"{at} is {json_shown(wire)}; expected a list of filters")
        return tuple(
            self.filter(item, f"{at}[{index}]", levels_left) for index, item in enumerate(wire)
        )

    def filter(self, wire: object, at: str, levels_left: int) -> Filter:
        if not levels_left:
            raise BadUserInput(
                f"{at} is nested too deeply, at most {MAX_NESTING} levels of filters are allowed"
            )
        if not isinstance(wire, Mapping):
            raise BadUserInput(f"{at} is {json_shown(wire)}; expected a filter object")
        for key in wire:
            if key not in _KEYS:
                raise BadUserInput(f"{at} has the key {json_shown(key)}; {_SHAPE}")
        combinators = [key for key in _COMBINATORS if wire.get(key) is not None]
        compared = [key for key in ("field", "operator") if wire.get(key) is not None]
        if wire.get("value") is not None:
            compared.append("value")
        if combinators and (compared or len(combinators) > 1):
            came = " and ".join(compared + combinators)
            raise BadUserInput(f"{at} has {came} in one filter; {_SHAPE}")
        if not combinators:
            if not compared:
                raise BadUserInput(f"{at} is an empty filter; {_SHAPE}")
            return self._comparison(wire, at)
        combinator = combinators[0]
        inner, at = wire[combinator], f"{at}.{combinator}"
        if combinator == "not":
            return Not(self.filter(inner, at, levels_left - 1))
        filters = self.filters(inner, at, levels_left - 1)
        if not filters:
            # Counted, or a request could hold any number of them.
            self._count(at)
        return And(filters) if combinator == "and" else Or(filters)

    def _comparison(self, wire: Mapping[str, object], at: str) -> Comparison:
        self._count(at)
        if wire.get("field") is None:
            raise BadUserInput(f"{at}.field is missing; {_SHAPE}")
        if wire.get("operator") is None:
            raise BadUserInput(f"{at}.operator is missing; {_SHAPE}")
        field = parse_field(f"{at}.field", wire["field"])
        operator = _operator(f"{at}.operator", wire["operator"])
        if "value" not in wire:
            raise BadUserInput(f"{at}.value is missing; {operator} needs {needed(operator)}")
        value = self._operands.checked(f"{at}.value", operator, wire["value"])
        check_operand(at, field, operator, value)
        return Comparison(field, operator, value)

    def _count(self, at: str) -> None:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise BadUserInput(f"{at} exceeds the limit of {MAX_COMPARISONS} comparisons")


def _operator(at: str, wire: object) -> Operator:
    if isinstance(wire, str) and wire in Operator.__members__:
        return Operator(wire)
    raise BadUserInput(f"{at} is {json_shown(wire)}; allowed: {', '.join(Operator)}")
