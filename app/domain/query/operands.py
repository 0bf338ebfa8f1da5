"""What each operator takes as its value, and how much all values of a request may be."""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Final

from app.domain.json_value import JsonValue, checked_data, decode_json, json_shown
from app.domain.query.operators import Operator
from app.errors import BadUserInput, PayloadTooLarge

__all__ = ["MAX_LIST_ITEMS", "MAX_OPERAND_BYTES", "MAX_OPERAND_VALUES", "Operands", "needed"]

MAX_LIST_ITEMS: Final = 1000
"""Values of one `IN` or `NOT_IN`."""
MAX_OPERAND_VALUES: Final = 2000
"""JSON values of all operands of one request: each item of `IN` and `NOT_IN`, each array and
object, and each value in one."""
MAX_OPERAND_BYTES: Final = 64 * 1024
"""JSON text of all operands of one request."""


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


class Operands:
    """The operands of one request: checked one by one, counted together."""

    def __init__(self) -> None:
        self._values = 0
        self._bytes = 0

    def checked(self, at: str, operator: Operator, value: object) -> JsonValue:
        """Return `value` as plain decoded JSON if `operator` takes it.

        Args:
            at: its place in the request, for errors.
            operator: the comparison's operator.
            value: what came, decoded.

        Raises:
            BadUserInput: a type that the operator does not take, a list of more than 1000
                items, a value that no message's data could hold; or, with the operands before
                it, more than 2000 values or 64 KiB of JSON text.
        """
        takes, needs = _OPERANDS[operator]
        if not takes(value):
            raise BadUserInput(f"{at} is {json_shown(value)}; {operator} needs {needs}")
        if takes is _is_list and isinstance(value, list | tuple) and len(value) > MAX_LIST_ITEMS:
            raise BadUserInput(f"{at} has {len(value)} items; {operator} needs {needs}")
        self._count(at, value, is_list=takes is _is_list)
        try:
            text = checked_data(value, MAX_OPERAND_BYTES, at)
        except PayloadTooLarge as error:
            raise BadUserInput(error.message) from error
        self._bytes += len(text)
        if self._bytes > MAX_OPERAND_BYTES:
            raise BadUserInput(
                f"{at} has {len(text)} bytes of JSON, {self._bytes} with the values before it; at "
                f"most {MAX_OPERAND_BYTES} are allowed per request"
            )
        return decode_json(text)

    def _count(self, at: str, value: object, *, is_list: bool) -> None:
        """Count what is in a value before anything is made of it.

        Raises:
            BadUserInput: too many values, or strings longer than the bound of the text.
        """
        self._values -= is_list  # the list of IN and NOT_IN is no value, its items are
        characters = 0
        uncounted: list[object] = [value]
        while uncounted:
            one = uncounted.pop()
            self._values += 1
            inside: Collection[object] = ()
            if isinstance(one, str):
                characters += len(one)
            elif isinstance(one, Mapping | list | tuple):
                inside = one
            known = self._values + len(uncounted) + len(inside)
            if known > MAX_OPERAND_VALUES:
                raise BadUserInput(
                    f"{at} raises the number of filter values to at least {known}, including the "
                    f"contents of arrays and objects; at most {MAX_OPERAND_VALUES} are allowed "
                    "per request"
                )
            if isinstance(inside, Mapping):
                characters += sum(len(key) for key in inside if isinstance(key, str))
                inside = inside.values()
            if characters > MAX_OPERAND_BYTES:
                raise BadUserInput(
                    f"{at} has strings of at least {characters} characters; at most "
                    f"{MAX_OPERAND_BYTES} bytes of JSON are allowed"
                )
            uncounted.extend(inside)
