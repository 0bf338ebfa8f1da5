"""Filters: what a message must be like, as values.

A filter compares by JSON type and never fails: a comparison with a value of another type, or
with a missing path, does not hold (and so `NEQ` and `NOT_IN` do).
"""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from app.domain.json_value import JsonValue, decode_json, encode_json
from app.domain.query.fields import FieldPath
from app.domain.query.operators import Operator

__all__ = ["And", "Comparison", "Filter", "Not", "Or", "conjuncts"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field compared with a value.

    Two comparisons are equal when the JSON texts of their values are: in Python alone,
    `1 == True` would make one of two filters that mean different things.
    """

    field: FieldPath
    operator: Operator
    value: JsonValue = dataclasses.field(compare=False)
    """Plain decoded JSON, every fraction a `Decimal`."""
    value_json: bytes = dataclasses.field(init=False, repr=False)
    """The compact JSON text of `value`."""

    def __post_init__(self) -> None:
        text = encode_json(self.value)
        object.__setattr__(self, "value_json", text)
        # The value as Postgres will read it: a float 0.1 is not Decimal("0.1") to Python.
        object.__setattr__(self, "value", decode_json(text))


@dataclass(frozen=True, slots=True)
class And:
    """All of the filters hold; so it does when there are none."""

    filters: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the filters holds; with none it does not."""

    filters: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The filter does not hold."""

    filter: "Filter"


Filter: TypeAlias = Comparison | And | Or | Not


def conjuncts(filters: Iterable[Filter]) -> Iterator[Filter]:
    """Yield filters that all must hold, those inside an `And` one by one."""
    for one in filters:
        if isinstance(one, And):
            yield from conjuncts(one.filters)
        else:
            yield one
