"""What the fields beside `data` are, and so what they can be compared with.

A path below `data` may hold anything, and a comparison with another type just does not hold.
Of these fields the type is known: the same comparison is a mistake, and the client learns of it.
"""

from typing import Final, NamedTuple

from app.domain.json_value import JsonValue, json_kind, json_shown
from app.domain.query.fields import FieldPath
from app.domain.query.operators import Operator
from app.errors import BadUserInput

__all__ = ["check_operand"]

_LISTS: Final = (Operator.IN, Operator.NOT_IN)
_OF_STRINGS: Final = (Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH)
_EQUALITY: Final = (Operator.EQ, Operator.NEQ, *_LISTS)


class _Type(NamedTuple):
    kind: str
    """As `json_kind` names it."""
    words: str
    nullable: bool = False


_STRING: Final = _Type("a string", "a string")
_TYPES: Final = {
    "id": _STRING,
    "client_id": _STRING,
    "username": _Type("a string", "a string, or null for an anonymous client", nullable=True),
    "created": _Type("a number", "a number, milliseconds since the Unix epoch"),
}
"""By field; what is not here may be anything."""


def check_operand(at: str, field: FieldPath, operator: Operator, value: JsonValue) -> None:
    """Return if a field can be compared with a value.

    Args:
        at: the comparison's place in the request, for errors.
        field: any.
        operator: any.
        value: what the operator takes.

    Raises:
        BadUserInput: the field is of another type than the value, or than the operator is for.
    """
    type_ = _TYPES.get(field.name)
    if type_ is None or operator is Operator.EXISTS:
        return
    if operator in _OF_STRINGS and type_.kind != _STRING.kind:
        allowed = ", ".join(one for one in Operator if one not in _OF_STRINGS)
        raise BadUserInput(
            f"{at}.operator is {operator}; {field} is {type_.words}; allowed: {allowed}"
        )
    may_be_null = type_.nullable and operator in _EQUALITY
    if isinstance(value, list) and operator in _LISTS:
        for index, item in enumerate(value):
            _check(f"{at}.value[{index}]", field, type_, item, may_be_null)
    else:
        _check(f"{at}.value", field, type_, value, may_be_null)


def _check(at: str, field: FieldPath, type_: _Type, value: JsonValue, may_be_null: bool) -> None:
    if json_kind(value) != type_.kind and not (value is None and may_be_null):
        allowed = f"{type_.kind} or null" if may_be_null else type_.kind
        raise BadUserInput(
            f"{at} is {json_shown(value)}; {field} is {type_.words}; expected {allowed}"
        )
