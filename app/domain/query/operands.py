"""What each operator takes as its value."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from app.domain.json_value import JsonValue, checked_data, decode_json, json_shown
from app.domain.query.operators import Operator
from app.errors import BadUserInput, PayloadTooLarge

__all__ = ["MAX_LIST_ITEMS", "MAX_VALUE_BYTES", "checked_operand", "needed"]

MAX_LIST_ITEMS: Final = 1000
"""Values of `IN` and `NOT_IN`."""
MAX_VALUE_BYTES: Final = 64 * 1024
"""JSON text of a comparison's value."""


def _is_any(_value: object) -> bool:
    return True


def _is_ordered(value: object) -> bool:
    return isinstance(value, str | bool | int | float | Decimal)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


_ANY: Final = (_is_any, "a JSON value")
_ORDERED: Final = (_is_ordered, "a number, a string or a boolean")
_STRING: Final = (_is_string, "a string")
_LIST: Final = (_is_list, f"a list of at most {MAX_LIST_ITEMS} values")

_OPERANDS: Final[dict[Operator, tuple[Callable[[object], bool], str]]] = {
    Operator.EQ: _ANY,
    Operator.NEQ: _ANY,
    Operator.GT: _ORDERED,
    Operator.GTE: _ORDERED,
    Operator.LT: _ORDERED,
    Operator.LTE: _ORDERED,
    Operator.IN: _LIST,
    Operator.NOT_IN: _LIST,
    Operator.CONTAINS: _ANY,
    Operator.STARTS_WITH: _STRING,
    Operator.ENDS_WITH: _STRING,
    Operator.EXISTS: (_is_boolean, "true or false"),
}


def needed(operator: Operator) -> str:
    """Return the words for what `operator` takes."""
    return _OPERANDS[operator][1]


def checked_operand(at: str, operator: Operator, value: object) -> JsonValue:
    """Return `value` as plain decoded JSON if `operator` takes it.

    Args:
        at: its place in the request, for errors.
        operator: the comparison's operator.
        value: what came, decoded.

    Raises:
        BadUserInput: a type that the operator does not take, a list of more than 1000 items,
            a value that no message's data could hold, or more than 64 KiB of JSON text.
    """
    takes, needs = _OPERANDS[operator]
    if not takes(value):
        raise BadUserInput(f"{at} is {json_shown(value)}; {operator} needs {needs}")
    if takes is _is_list and isinstance(value, list | tuple) and len(value) > MAX_LIST_ITEMS:
        raise BadUserInput(f"{at} has {len(value)} items; {operator} needs {needs}")
    try:
        text = checked_data(value, MAX_VALUE_BYTES, at)
    except PayloadTooLarge as error:
        raise BadUserInput(error.message) from error
    return decode_json(text)
