"""The scalars: JSON exactly as it was sent, and milliseconds."""

from decimal import Decimal, DecimalException
from typing import Any, Final, NewType

import msgspec
import strawberry
from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FloatValueNode,
    GraphQLError,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    ValueNode,
    VariableNode,
)
from strawberry.types.scalar import ScalarDefinition

from app.domain.json_value import json_shown

__all__ = ["JSON", "SCALAR_MAP", "Timestamp"]

JSON = NewType("JSON", object)
Timestamp = NewType("Timestamp", int)

_MAX_INTEGER_DIGITS: Final = 400
_MAX_TIMESTAMP: Final = 2**53 - 1
"""What every client's number type holds exactly."""


def _parse_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> object:  # noqa: PLR0911
    match node:
        case NullValueNode():
            return None
        case BooleanValueNode(value=value) | StringValueNode(value=value):
            return value
        case IntValueNode(value=value):
            return _integer(value)
        case FloatValueNode(value=value):
            return _fraction(value)
        case ListValueNode(values=items):
            return [_parse_literal(item, variables) for item in items]
        case ObjectValueNode(fields=fields):
            return {one.name.value: _parse_literal(one.value, variables) for one in fields}
        case VariableNode():
            name = node.name.value
            if variables is None:
                return None  # Validating: no variable has a value yet.
            if name not in variables:
                raise GraphQLError(f"the variable ${name} has no value", node)
            return variables[name]
        case EnumValueNode(value=value):
            raise GraphQLError(f"JSON has no enum values; {value} came: quote it", node)
    raise GraphQLError("expected a JSON value", node)


def _integer(text: str) -> int:
    if len(text) > _MAX_INTEGER_DIGITS:
        raise GraphQLError(
            f"an integer of {len(text)} digits came, at most {_MAX_INTEGER_DIGITS} are allowed"
        )
    return int(text)


def _fraction(text: str) -> Decimal:
    try:
        return Decimal(text)
    except DecimalException:
        raise GraphQLError("a number out of the range of a 64-bit float came") from None


def _timestamp(value: object) -> int:
    # A Decimal of a few characters may have a million digits as an int.
    if (
        isinstance(value, int | Decimal)
        and not isinstance(value, bool)
        and -_MAX_TIMESTAMP <= value <= _MAX_TIMESTAMP
        and value == int(value)
    ):
        return int(value)
    raise GraphQLError(
        f"a Timestamp is {json_shown(value)}; allowed are whole milliseconds since the Unix epoch, "
        f"up to {_MAX_TIMESTAMP}"
    )


def _serialize(value: object) -> object:
    # JSON text from the table goes out as it is.
    return msgspec.Raw(value) if isinstance(value, bytes) else value


SCALAR_MAP: Final[dict[object, ScalarDefinition]] = {
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value, returned exactly as it was sent. Numbers keep their exact "
        "value.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc8259",
        serialize=_serialize,
        parse_value=lambda value: value,
        parse_literal=_parse_literal,
    ),
    Timestamp: strawberry.scalar(
        name="Timestamp",
        description="Milliseconds since the Unix epoch, UTC.",
        serialize=int,
        parse_value=_timestamp,
    ),
}
