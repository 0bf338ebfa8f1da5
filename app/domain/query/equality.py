"""When two JSON values are equal: as jsonb has it, which is not as Python has it.

`1` equals `1.0`, the order of an object's keys is irrelevant, and `true` is not `1`. A value's
key is equal to the keys of the values that it equals, and of no others, so that a set of keys
answers at once what a list of values would answer one by one.
"""

from collections.abc import Callable, Hashable, Iterable
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any, Final

from app.domain.json_value import JsonValue

__all__ = ["equality_test", "item_test", "json_key", "membership_test", "scalar_key"]

_NUMBERS: Final = frozenset({int, Decimal})
_EXACT: Final = Context(prec=1_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
"""More digits than any number has that a client may send."""
_SMALL: Final = 2**60
"""Below it Python hashes integers to themselves: they cannot be chosen to collide."""


class _Word:
    """The key of true, false or null: equal to itself only, where Python has True == 1."""

    def __init__(self, word: str) -> None:
        self._word = word

    def __repr__(self) -> str:
        return self._word


_TRUE: Final = _Word("true")
_FALSE: Final = _Word("false")
_NULL: Final = _Word("null")


class _Large(Exception):
    """A value has more values in it than were asked for."""


def scalar_key(value: object) -> Hashable | None:
    """Return the key of a decoded string, number, boolean or null; None for anything else."""
    kind = type(value)
    if kind is str:
        return value
    if kind is int or kind is Decimal:
        return _number_key(value)  # type: ignore[arg-type]
    if value is None:
        return _NULL
    if kind is bool:
        return _TRUE if value else _FALSE
    return None


def json_key(value: Any, most: int | None = None) -> Hashable | None:
    """Return the key of a decoded JSON value.

    Args:
        value: plain decoded JSON: dict, list, str, int, Decimal, bool or None.
        most: values to look at, itself and all in it; None: all.

    Returns:
        None where it has more than `most`.
    """
    try:
        return _key(value, [-1 if most is None else most])
    except _Large:
        return None


def _key(value: Any, left: list[int]) -> Hashable:
    if not left[0]:
        raise _Large
    left[0] -= 1
    kind = type(value)
    # A list's key is a tuple and an object's a frozenset: no scalar's key is either.
    if kind is list:
        return tuple([_key(item, left) for item in value])
    if kind is dict:
        return frozenset([(name, _key(item, left)) for name, item in value.items()])
    key = scalar_key(value)
    assert key is not None, "plain decoded JSON"
    return key


def _number_key(number: int | Decimal) -> Hashable:
    if type(number) is int and -_SMALL < number < _SMALL:
        return number
    # Python hashes numbers without a secret: a client could choose a thousand that collide.
    # Bytes are hashed with one, and equal no string.
    exact = _EXACT.normalize(Decimal(number))
    if -_SMALL < exact < _SMALL and exact == exact.to_integral_value():
        return int(exact)
    return str(exact).encode()


def equality_test(operand: JsonValue) -> Callable[[Any], bool]:
    """Return a function that tells whether a decoded JSON value equals `operand`.

    Args:
        operand: plain decoded JSON: dict, list, str, int, Decimal, bool or None.
    """
    if operand is None:
        return lambda value: value is None
    if isinstance(operand, bool):
        return lambda value: value is operand
    if isinstance(operand, str):
        return lambda value: type(value) is str and value == operand
    if isinstance(operand, int | Decimal):
        return lambda value: type(value) in _NUMBERS and value == operand
    assert isinstance(operand, list | dict), "plain decoded JSON"
    kind, length, key, size = type(operand), len(operand), json_key(operand), _size(operand)
    return lambda value: (
        type(value) is kind and len(value) == length and json_key(value, size) == key
    )


def membership_test(operands: Iterable[JsonValue]) -> Callable[[Any], bool]:
    """Return a function that tells whether a decoded JSON value equals one of `operands`.

    It looks the value up once, however many there are.
    """
    operands = list(operands)
    keys = frozenset(map(json_key, operands))
    containers = [one for one in operands if isinstance(one, list | dict)]
    if not containers:
        return lambda value: (value if type(value) is str else scalar_key(value)) in keys
    shapes = frozenset((type(one), len(one)) for one in containers)
    most = max(map(_size, containers))

    def is_member(value: Any) -> bool:
        kind = type(value)
        if kind is list or kind is dict:
            # No more of it is looked at than the largest operand has.
            return (kind, len(value)) in shapes and json_key(value, most) in keys
        return scalar_key(value) in keys

    return is_member


def item_test(operand: JsonValue) -> Callable[[list[Any]], bool]:
    """Return a function that tells whether a decoded JSON array has an item equal to `operand`."""
    equal = equality_test(operand)
    if isinstance(operand, Decimal) and operand == operand.to_integral_value():
        operand = int(operand)
    if operand is None or isinstance(operand, str):
        return lambda items: operand in items
    # Python's comparison is the quick one, and says yes too often, never no.
    return lambda items: operand in items and any(map(equal, items))


def _size(value: JsonValue) -> int:
    """Return how many values there are in a value, itself included."""
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    return 1
