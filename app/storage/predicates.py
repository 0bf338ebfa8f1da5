"""From filters to SQL conditions: the twin of `app.domain.query.matching`.

A condition here holds when it is true; false and NULL both mean that it does not. So a
comparison with a missing path may stay NULL (an index can serve it as it stands), and only
`IS NOT true` negates.

Every value is a bound parameter. Strings are compared under COLLATE "C", which is by code
point in UTF-8, whatever collation the database has.
"""

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Numeric,
    Text,
    and_,
    any_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
)
from sqlalchemy import Uuid as UuidType
from sqlalchemy.dialects.postgresql import JSONB

from app.domain.json_value import encode_json
from app.domain.query import And, Comparison, FieldPath, Filter, Not, Operator, Or
from app.storage.tables import MESSAGES

__all__ = ["condition", "json_of"]

Condition = ColumnElement[bool]

_NEGATED: Final = {Operator.NEQ: Operator.EQ, Operator.NOT_IN: Operator.IN}
_ORDERINGS: Final[dict[Operator, Callable[[Any, Any], Any]]] = {
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
}
_STRING_TESTS: Final[dict[Operator, Callable[[ColumnElement[str], str], Condition]]] = {
    Operator.STARTS_WITH: lambda text, part: func.starts_with(text, literal(part, Text)),
    Operator.ENDS_WITH: lambda text, part: func.right(text, len(part)) == literal(part, Text),
    Operator.CONTAINS: lambda text, part: func.strpos(text, literal(part, Text)) > 0,
}
_EMPTY_ARRAY: Final = literal_column("'[]'::jsonb", JSONB)
_JSON_NULL: Final = literal_column("'null'::jsonb", JSONB)
_SMALLEST_BIGINT: Final = -(2**63)


def condition(filter: Filter) -> Condition:  # noqa: A002  the word for it
    """Return the SQL condition that holds for the rows of `messages` that match `filter`."""
    match filter:
        case Comparison():
            return _comparison(filter)
        case And(filters):
            return and_(true(), *map(condition, filters))
        case Or(filters):
            return or_(false(), *map(condition, filters))
        case Not(inner):
            return _negated(condition(inner))


def json_of(field: FieldPath) -> ColumnElement[Any]:
    """Return `field` as jsonb: NULL where the path is missing."""
    match field.name:
        case "data":
            return _value_at(field.path)
        case "id":
            return func.to_jsonb(cast(MESSAGES.c.id, Text), type_=JSONB)
        case "username":
            return func.coalesce(func.to_jsonb(MESSAGES.c.username), _JSON_NULL, type_=JSONB)
        case name:
            return func.to_jsonb(MESSAGES.c[name], type_=JSONB)


def _comparison(comparison: Comparison) -> Condition:
    if comparison.operator in _NEGATED:
        positive = Comparison(comparison.field, _NEGATED[comparison.operator], comparison.value)
        return _negated(_comparison(positive))
    match comparison.field.name:
        case "data":
            return _on_data(comparison)
        case "created":
            return _on_created(comparison)
        case _:
            return _on_text(comparison)


def _negated(positive: Condition) -> Condition:
    return positive.self_group().is_not(true())


# --- data: jsonb ---------------------------------------------------------------------------


def _value_at(path: tuple[str, ...]) -> ColumnElement[Any]:
    if not path:
        return MESSAGES.c.data
    return MESSAGES.c.data.op("#>", return_type=JSONB())(literal(list(path), ARRAY(Text)))


def _text_at(path: tuple[str, ...]) -> ColumnElement[str]:
    text = MESSAGES.c.data.op("#>>", return_type=Text())(literal(list(path), ARRAY(Text)))
    return text.collate("C")


def _on_data(comparison: Comparison) -> Condition:
    value, operand = _value_at(comparison.field.path), comparison.value
    json = literal(comparison.value_json, JSONB)
    match comparison.operator:
        case Operator.EQ:
            return value == json
        case Operator.IN:
            assert isinstance(operand, list)
            return value == any_(literal([encode_json(item) for item in operand], ARRAY(JSONB)))
        case Operator.EXISTS:
            return value.is_not(null()) if operand else value.is_(null())
        case Operator.CONTAINS:
            member = _has_member(value, comparison)
            return or_(member, _on_string(comparison)) if isinstance(operand, str) else member
    if isinstance(operand, str):
        return _on_string(comparison)
    kind = "boolean" if isinstance(operand, bool) else "number"
    return and_(_is_type(value, kind), _ORDERINGS[comparison.operator](value, json))


def _on_string(comparison: Comparison) -> Condition:
    path = comparison.field.path
    return and_(_is_type(_value_at(path), "string"), _text_test(_text_at(path), comparison))


def _text_test(text: ColumnElement[str], comparison: Comparison) -> Condition:
    operand = comparison.value
    assert isinstance(operand, str)
    if comparison.operator in _ORDERINGS:
        return _ORDERINGS[comparison.operator](text, literal(operand, Text))  # type: ignore[no-any-return]
    return _STRING_TESTS[comparison.operator](text, operand)


def _has_member(value: ColumnElement[Any], comparison: Comparison) -> Condition:
    is_array = _is_type(value, "array")
    json = literal(comparison.value_json, JSONB)
    if not isinstance(comparison.value, dict | list):
        return and_(is_array, value.op("@>", is_comparison=True)(json))
    # Containment of an array or object is less than equality: [[1, 2]] @> [[1]].
    elements = func.jsonb_array_elements(case((is_array, value), else_=_EMPTY_ARRAY))
    element = elements.table_valued("value").c.value
    return select(literal(1)).where(element == json).exists()


def _is_type(value: ColumnElement[Any], kind: str) -> Condition:
    return func.jsonb_typeof(value) == literal_column(f"'{kind}'", Text)


# --- created: a number, never missing ------------------------------------------------------


def _on_created(comparison: Comparison) -> Condition:
    created, operand = MESSAGES.c.created, comparison.value
    match comparison.operator:
        case Operator.EXISTS:
            return true() if operand else false()
        case Operator.IN:
            assert isinstance(operand, list)
            numbers = [Decimal(item) for item in operand if _is_number(item)]
            return cast(created, Numeric) == any_(literal(numbers, ARRAY(Numeric)))
        case Operator.EQ if _is_number(operand):
            return created == _number(operand)
        case ordering if ordering in _ORDERINGS and _is_number(operand):
            return _ORDERINGS[ordering](created, _number(operand))  # type: ignore[no-any-return]
    return false()


def _is_number(operand: Any) -> bool:
    return isinstance(operand, int | Decimal) and not isinstance(operand, bool)


def _number(operand: Any) -> ColumnElement[Any]:
    if isinstance(operand, int) and _SMALLEST_BIGINT <= operand < -_SMALLEST_BIGINT:
        return literal(operand, BigInteger)
    return literal(Decimal(operand), Numeric)


# --- id, client_id, username: strings, or for username null; never missing -----------------


def _on_text(comparison: Comparison) -> Condition:
    column, operand = MESSAGES.c[comparison.field.name], comparison.value
    match comparison.operator:
        case Operator.EXISTS:
            return true() if operand else false()
        case Operator.EQ:
            return _is_any_of(column, [operand])
        case Operator.IN:
            assert isinstance(operand, list)
            return _is_any_of(column, operand)
    if not isinstance(operand, str):
        return false()
    return _text_test(cast(column, Text).collate("C"), comparison)


def _is_any_of(column: ColumnElement[Any], operands: list[Any]) -> Condition:
    strings = [item for item in operands if isinstance(item, str)]
    kind: Any = Text
    if column is MESSAGES.c.id:
        strings, kind = list(filter(_is_canonical_uuid, strings)), UuidType(as_uuid=False)
    alternatives: list[Condition] = [false()]
    if len(strings) == 1:
        alternatives.append(column == literal(strings[0], kind))
    elif strings:
        alternatives.append(column == any_(literal(strings, ARRAY(kind))))
    if None in operands and column is MESSAGES.c.username:
        alternatives.append(column.is_(null()))
    return or_(*alternatives)


def _is_canonical_uuid(text: str) -> bool:
    # Postgres reads more spellings; a filter compares the text that a client sees.
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
