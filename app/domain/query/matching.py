"""The query language in memory: the twin of the SQL in `app.storage`.

A filter is compiled once into closures and then asked about each message: subscriptions do
this for every message that is published.
"""

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from app.domain.json_value import JsonValue
from app.domain.message import Message
from app.domain.query.equality import equality_test, item_test, membership_test
from app.domain.query.fields import FieldPath, array_index
from app.domain.query.filters import And, Comparison, Filter, Not, Or
from app.domain.query.operators import Operator

__all__ = ["MISSING", "MessageTest", "compile_filter", "field_getter", "matches"]

MessageTest: TypeAlias = Callable[[Message], bool]

_ValueTest: TypeAlias = Callable[[Any], bool]


class _Missing:
    """The value of a path that leads nowhere: no JSON value, so equal to none."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()

_NUMBERS: Final = frozenset({int, Decimal})


def matches(message: Message, filter: Filter) -> bool:  # noqa: A002  the word for it
    """Return whether `filter` holds for `message`; ask `compile_filter` once for many."""
    return compile_filter(filter)(message)


def compile_filter(filter: Filter) -> MessageTest:  # noqa: A002
    """Return a pure function that tells whether `filter` holds for a message."""
    match filter:
        case Comparison():
            get, test = field_getter(filter.field), _value_test(filter)
            return lambda message: test(get(message))
        case And(filters):
            tests = tuple(map(compile_filter, filters))
            if len(tests) == 1:
                return tests[0]
            return lambda message: all(test(message) for test in tests)
        case Or(filters):
            tests = tuple(map(compile_filter, filters))
            if len(tests) == 1:
                return tests[0]
            return lambda message: any(test(message) for test in tests)
        case Not(inner):
            negated = compile_filter(inner)
            return lambda message: not negated(message)


def field_getter(field: FieldPath) -> Callable[[Message], Any]:
    """Return a function that reads `field` of a message: plain JSON, or `MISSING`."""
    match field:
        case FieldPath("id"):
            return lambda message: message.id
        case FieldPath("client_id"):
            return lambda message: message.client_id
        case FieldPath("created"):
            return lambda message: message.created
        case FieldPath("username"):
            return lambda message: message.username
    steps = tuple((segment, array_index(segment)) for segment in field.path)

    def get(message: Message) -> Any:
        value: Any = message.data
        for key, index in steps:
            if type(value) is dict:
                value = value.get(key, MISSING)
            elif type(value) is list and index is not None and -len(value) <= index < len(value):
                value = value[index]
            else:
                return MISSING
        return value

    return get


def _value_test(comparison: Comparison) -> _ValueTest:
    operand: Any = comparison.value
    if comparison.operator in _NEGATED:
        positive = _VALUE_TESTS[_NEGATED[comparison.operator]](operand)
        return lambda value: not positive(value)
    return _VALUE_TESTS[comparison.operator](operand)


def _ordering(ordered: Callable[[Any, Any], bool]) -> Callable[[Any], _ValueTest]:
    def test_of(operand: Any) -> _ValueTest:
        same = _same_type_test(operand)
        return lambda value: same(value) and ordered(value, operand)

    return test_of


def _same_type_test(operand: JsonValue) -> _ValueTest:
    # Strings compare by code point in Python, as they do in UTF-8 under COLLATE "C".
    if isinstance(operand, str):
        return lambda value: type(value) is str
    if isinstance(operand, bool):
        return lambda value: type(value) is bool
    return lambda value: type(value) in _NUMBERS


def _existence_test(operand: bool) -> _ValueTest:
    return lambda value: (value is not MISSING) is operand


def _prefix_test(operand: str) -> _ValueTest:
    return lambda value: type(value) is str and value.startswith(operand)


def _suffix_test(operand: str) -> _ValueTest:
    return lambda value: type(value) is str and value.endswith(operand)


def _contains_test(operand: JsonValue) -> _ValueTest:
    has_item = item_test(operand)
    if not isinstance(operand, str):
        return lambda value: type(value) is list and has_item(value)

    def contains(value: Any) -> bool:
        if type(value) is str:
            return operand in value
        return type(value) is list and has_item(value)

    return contains


_NEGATED: Final = {Operator.NEQ: Operator.EQ, Operator.NOT_IN: Operator.IN}
_VALUE_TESTS: Final[dict[Operator, Callable[[Any], _ValueTest]]] = {
    Operator.EQ: equality_test,
    Operator.GT: _ordering(operator.gt),
    Operator.GTE: _ordering(operator.ge),
    Operator.LT: _ordering(operator.lt),
    Operator.LTE: _ordering(operator.le),
    Operator.IN: membership_test,
    Operator.CONTAINS: _contains_test,
    Operator.STARTS_WITH: _prefix_test,
    Operator.ENDS_WITH: _suffix_test,
    Operator.EXISTS: _existence_test,
}
