"""Values of a document as they are in JSON: constants, and places that variables fill.

What graphql-core coerces on every request, and what is made of it then, is mostly the JSON
that the client sent: the query language reads that itself, and refuses what is wrong with it.
Whatever would have to be coerced is left to the engine.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal, DecimalException
from typing import Any, Final, TypeAlias

from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FloatValueNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    ValueNode,
    VariableNode,
)

__all__ = ["ABSENT", "Template", "template"]

Template: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""Gives the value, from the variables; `ABSENT` where its variable has none."""

ABSENT: Final = object()
_MAX_NUMBER_CHARACTERS: Final = 18
_JSON_KEY: Final = "value"
"""The one key of our inputs whose value is any JSON."""


class _NotPlainError(Exception):
    """The engine has to say what this means."""


def template(node: ValueNode) -> Template | None:
    """Return the value that a document writes; None where the engine has to coerce it.

    Args:
        node: an argument's, validated.
    """
    try:
        return _template(node)
    except _NotPlainError:
        return None


def _template(node: ValueNode) -> Template:
    match node:
        case VariableNode():
            name = node.name.value
            return lambda variables: variables.get(name, ABSENT)
        case ObjectValueNode(fields=fields):
            parts = tuple(
                (
                    one.name.value,
                    _json(one.value) if one.name.value == _JSON_KEY else _template(one.value),
                )
                for one in fields
            )
            return lambda variables: {
                name: value for name, part in parts if (value := part(variables)) is not ABSENT
            }
        case ListValueNode(values=values):
            if any(isinstance(one, VariableNode) for one in values):
                raise _NotPlainError  # without a value it is null, or an error
            items = tuple(map(_template, values))
            return lambda variables: [item(variables) for item in items]
    constant = _constant(node)
    return lambda _variables: constant


def _json(node: ValueNode) -> Template:
    if isinstance(node, VariableNode):
        return _template(node)
    constant = _constant(node)
    return lambda _variables: constant


def _constant(node: ValueNode) -> Any:
    match node:
        case NullValueNode():
            return None
        case ListValueNode(values=values):
            return [_constant(one) for one in values]
        case ObjectValueNode(fields=fields):
            return {one.name.value: _constant(one.value) for one in fields}
        case BooleanValueNode() | StringValueNode() | EnumValueNode():
            return node.value
    return _number(node)


def _number(node: ValueNode) -> int | Decimal:
    if isinstance(node, IntValueNode) and len(node.value) <= _MAX_NUMBER_CHARACTERS:
        return int(node.value)
    if isinstance(node, FloatValueNode) and len(node.value) <= _MAX_NUMBER_CHARACTERS:
        with suppress(DecimalException):
            return Decimal(node.value)
    raise _NotPlainError
