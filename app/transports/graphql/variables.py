"""Numbers in variables: exact for our JSON scalar, ordinary ones for Int and Float.

JSON of a request is decoded with `Decimal` for numbers that have a fraction or an exponent
(`app.domain.json_value`). A client may write an Int as `10.0` or `1e1`, since JSON knows
one kind of number; graphql-core knows int and float only.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    is_specified_scalar_type,
)

__all__ = ["plain_numbers"]


def plain_numbers(
    variables: Mapping[str, Any], types: Mapping[str, GraphQLInputType]
) -> dict[str, Any]:
    """Return the variables with each Decimal outside our own scalars made an int or float.

    Everything else is passed on as it came, for graphql-core to judge. The depth is that of
    the decoded JSON, which its decoder bounds.

    Args:
        variables: decoded by `decode_json`.
        types: of the operation's variables.
    """
    return {
        name: _plain(value, types[name]) if name in types else value
        for name, value in variables.items()
    }


def _plain(value: Any, type_: Any) -> Any:
    if isinstance(type_, GraphQLNonNull):
        type_ = type_.of_type
    if isinstance(value, Decimal):
        while isinstance(type_, GraphQLList | GraphQLNonNull):
            type_ = type_.of_type  # GraphQL takes one value for a list of one.
        # Our own scalars take it exactly; to all others it is a number like any other.
        exact = isinstance(type_, GraphQLScalarType) and not is_specified_scalar_type(type_)
        return value if exact else _number(value)
    if isinstance(type_, GraphQLList):
        if isinstance(value, list):
            return [_plain(item, type_.of_type) for item in value]
        return _plain(value, type_.of_type)
    if isinstance(type_, GraphQLInputObjectType) and isinstance(value, dict):
        fields = type_.fields
        return {
            name: _plain(item, fields[name].type) if name in fields else item
            for name, item in value.items()
        }
    return value


def _number(value: Decimal) -> int | float:
    # The bound keeps `1e999999` from becoming an int of a million digits.
    if value.is_finite() and value.adjusted() < 20 and value == value.to_integral_value():
        return int(value)
    return float(value)
