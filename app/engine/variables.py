"""Variables, bounded and made fit for graphql-core, before anything is coerced.

JSON of a request is decoded with `Decimal` for numbers that have a fraction or an exponent
(`app.domain.json_value`). A client may write an Int as `10.0` or `1e1`, since JSON knows
one kind of number; graphql-core knows int and float only.

To coerce an input object costs a hundred times what its text does, each time its variable
is used, and graphql-core's complaints quote what came in full. So objects and list items
are counted here, and what has a wrong shape is refused in our words.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    is_specified_scalar_type,
)

from app.domain.json_value import encode_json, json_shown
from app.engine.errors import RequestRefused
from app.engine.limits import MAX_INPUTS, MAX_PLAIN_ITEMS
from app.errors import ErrorCode

__all__ = ["MAX_REPEATED_VALUES", "bounded_variables"]

MAX_REPEATED_VALUES: Final = 50_000
"""JSON values of a variable that is used more than once, each as often as it is used."""


def bounded_variables(
    variables: Mapping[str, Any],
    types: Mapping[str, GraphQLInputType],
    uses: Mapping[str, int],
    *,
    suggests: bool = True,
) -> dict[str, Any]:
    """Return the variables with each Decimal outside our own scalars made an int or float.

    What an operation has no variable for is passed on as it came, and so are scalars: for
    graphql-core to judge.

    Args:
        variables: decoded by `decode_request`, which bounds their depth.
        types: of the operation's variables.
        uses: how often each stands in an argument.
        suggests: whether errors name the keys and enum values that a type has.

    Raises:
        RequestRefused: more than 500 input objects and list items (2,000 of text or numbers),
            or 50,000 values in JSON that is used more than once; a key or an enum value that its
            type does not have, an object or a list where a scalar belongs.
    """
    bounded: dict[str, Any] = {}
    inputs = _Inputs(suggests)
    for name, value in variables.items():
        if name not in types:
            bounded[name] = value
            continue
        times = uses.get(name, 0)
        if times > 1:
            _check_repeated(name, value, times)
        bounded[name] = inputs.plain(value, types[name], f"${name}", max(times, 1))
    return bounded


def _check_repeated(name: str, value: Any, times: int) -> None:
    if not isinstance(value, list | dict):
        return
    text = encode_json(value)
    # Those inside strings count as well: nothing that is used twice comes near the bound.
    values = 1 + text.count(b",") + text.count(b"[") + text.count(b"{")
    if values * times > MAX_REPEATED_VALUES:
        raise _refused(
            f"${name} has up to {values} values and is used {times} times; at most "
            f"{MAX_REPEATED_VALUES} are allowed, each as often as it is used"
        )


class _Inputs:
    """One request's variables; it counts what graphql-core would coerce."""

    def __init__(self, suggests: bool) -> None:
        self._suggests = suggests
        self._left = MAX_INPUTS
        self._plain_left = MAX_PLAIN_ITEMS

    def plain(self, value: Any, type_: Any, at: str, times: int) -> Any:
        if isinstance(type_, GraphQLNonNull):
            type_ = type_.of_type
        if value is None:
            return value
        if isinstance(type_, GraphQLList):
            return self._list(value, type_.of_type, at, times)
        if isinstance(type_, GraphQLInputObjectType) and isinstance(value, dict):
            return self._object(value, type_, at, times)
        if isinstance(type_, GraphQLEnumType):
            # graphql-core knows an enum's names as strings only.
            if not isinstance(value, str) or value not in type_.values:
                allowed = self._allowed(type_, type_.values, "value")
                raise _refused(f"{at} is {json_shown(value)}; {allowed}")
        elif isinstance(type_, GraphQLScalarType) and _is_exact(type_):
            return value
        elif isinstance(value, Decimal):
            return _number(value)
        elif isinstance(value, list | dict) or isinstance(type_, GraphQLInputObjectType):
            raise _refused(f"{at} is {json_shown(value)}; allowed is the type {type_}")
        return value

    def _list(self, value: Any, item_type: Any, at: str, times: int) -> Any:
        if not isinstance(value, list):
            return self.plain(value, item_type, at, times)  # GraphQL takes one for a list of one.
        plain = []
        texts = _is_text_or_number(item_type)
        for index, item in enumerate(value):
            here = f"{at}[{index}]"
            if texts and not isinstance(item, dict | list):
                self._count_plain(here, times)
            elif not isinstance(item, dict):  # An object counts itself.
                self._count(here, times)
            plain.append(self.plain(item, item_type, here, times))
        return plain

    def _object(
        self, value: dict[str, Any], type_: GraphQLInputObjectType, at: str, times: int
    ) -> dict[str, Any]:
        self._count(at, times)
        plain = {}
        for key, item in value.items():
            field = type_.fields.get(key)
            if field is None:
                allowed = self._allowed(type_, type_.fields, "key")
                raise _refused(f"{at} has the key {json_shown(key)}; {allowed}")
            plain[key] = self.plain(item, field.type, f"{at}.{key}", times)
        return plain

    def _allowed(
        self, type_: GraphQLEnumType | GraphQLInputObjectType, names: Iterable[str], what: str
    ) -> str:
        if not self._suggests:
            return f"{type_.name} has no such {what}"
        return f"allowed of {type_.name} are {', '.join(names)}"

    def _count(self, at: str, times: int) -> None:
        self._left -= times
        if self._left < 0:
            raise _beyond(at, f"{MAX_INPUTS} input objects and list items", times)

    def _count_plain(self, at: str, times: int) -> None:
        self._plain_left -= times
        if self._plain_left < 0:
            raise _beyond(at, f"{MAX_PLAIN_ITEMS} list items of text or numbers", times)


def _beyond(at: str, most: str, times: int) -> RequestRefused:
    used = f", and the variable is used {times} times" if times > 1 else ""
    return _refused(
        f"{at} is beyond the {most} that are allowed in the variables of a request{used}"
    )


def _is_text_or_number(type_: Any) -> bool:
    if isinstance(type_, GraphQLNonNull):
        type_ = type_.of_type
    return isinstance(type_, GraphQLScalarType) and is_specified_scalar_type(type_)


def _is_exact(type_: GraphQLScalarType) -> bool:
    # Our own scalars take numbers exactly, and JSON takes anything.
    return not is_specified_scalar_type(type_)


def _number(value: Decimal) -> int | float:
    # The bound keeps `1e999999` from becoming an int of a million digits.
    if value.is_finite() and value.adjusted() < 20 and value == value.to_integral_value():
        return int(value)
    return float(value)


def _refused(message: str) -> RequestRefused:
    return RequestRefused.of(message, ErrorCode.BAD_USER_INPUT)
