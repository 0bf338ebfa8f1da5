"""When two JSON values are equal: as jsonb has it, which is not as Python has it.

`1` equals `1.0`, the order of an object's keys is irrelevant, and `true` is not `1`.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from app.domain.json_value import JsonValue

__all__ = ["equality_test"]

_NUMBERS: Final = frozenset({int, Decimal})


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
    if isinstance(operand, dict):
        return _object_test(operand)
    assert isinstance(operand, list), "plain decoded JSON"
    return _array_test(operand)


def _array_test(operand: list[JsonValue]) -> Callable[[Any], bool]:
    tests = tuple(map(equality_test, operand))
    return lambda value: (
        type(value) is list
        and len(value) == len(tests)
        and all(test(item) for test, item in zip(tests, value, strict=True))
    )


def _object_test(operand: dict[str, JsonValue]) -> Callable[[Any], bool]:
    tests = {key: equality_test(item) for key, item in operand.items()}
    return lambda value: (
        type(value) is dict
        and value.keys() == tests.keys()
        and all(test(value[key]) for key, test in tests.items())
    )
