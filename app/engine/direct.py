"""The publish mutation, the messages subscription and the messages query without the engine.

One root field, its arguments plain variables or constants, its selection a list of fields:
that is how clients send them. Then an operation is compiled once, and a request only picks
its variables. Whatever is out of the ordinary, a variable of another type above all, goes
through the engine, which knows how to say what is wrong.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FieldNode,
    GraphQLError,
    IntValueNode,
    NullValueNode,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    ValueNode,
    VariableNode,
)

from app.domain.channel import Channel
from app.domain.json_value import encode_json
from app.domain.message import Message, OnRepeat
from app.domain.query import MessageQuery
from app.engine.asking import Asked, QueryField
from app.engine.errors import RequestRefused, ResponseError, response_error
from app.engine.projection import Projection
from app.engine.reading import Scope
from app.engine.selections import response_key
from app.services.live.source import Source
from app.services.searching import Searching

__all__ = [
    "DirectField",
    "Resolvers",
    "publish_directly",
    "search_directly",
    "subscribe_directly",
]

_Fits: TypeAlias = Callable[[Any], bool]
"""Whether a value is plainly of an argument's type."""

_MAX_INT_CHARACTERS: Final = 11


@dataclass(frozen=True, slots=True)
class Resolvers:
    """What the schema's fields do, given a context and what is asked."""

    publish: Callable[[Any, Mapping[str, Any]], Awaitable[Message]]
    subscribe: Callable[[Any, Mapping[str, Any]], Awaitable[Source]]
    search: Callable[[Any, Channel, MessageQuery], Scope]
    answer: Callable[[Any, Channel, bytes | None, Callable[[], Awaitable[bytes]]], Awaitable[bytes]]
    """The answer that the key stands for, read or kept."""
    searched: Callable[[Any, Searching], Any]
    """A context whose searches are answered already."""


class DirectField:
    """The root field of one operation, compiled; a `publish` or a `messages` subscription."""

    __slots__ = ("_constants", "_root", "_variables", "projection")

    def __init__(
        self,
        root: FieldNode,
        variables: Mapping[str, tuple[str, _Fits, bool]],
        constants: Mapping[str, Any],
        projection: Projection,
    ) -> None:
        self.projection = projection
        self._root = root
        self._variables = tuple((name, *rest) for name, rest in variables.items())
        self._constants = constants

    @classmethod
    def of(cls, definition: OperationDefinitionNode) -> "DirectField | None":
        """Return the compiled field; None where the operation is not of the ordinary form.

        Args:
            definition: any operation, validated.
        """
        selections = definition.selection_set.selections
        root = selections[0]
        if (
            len(selections) != 1
            or definition.directives
            or not isinstance(root, FieldNode)
            or root.directives
            or any(one.default_value for one in definition.variable_definitions or ())
        ):
            return None
        forms = _FORMS.get((definition.operation, root.name.value))
        if forms is None:
            return None
        required, optional = forms
        projection = Projection.of(root)
        variables: dict[str, tuple[str, _Fits, bool]] = {}
        constants: dict[str, Any] = {}
        for argument in root.arguments or ():
            key, node = argument.name.value, argument.value
            fits = required.get(key) or optional.get(key)
            if fits is None:
                return None
            if isinstance(node, VariableNode):
                variables[key] = (node.name.value, fits, key in required)
            elif _is_constant(node, fits) and fits(_constant(node)):
                constants[key] = _constant(node)
            else:
                return None
        used = {variable for variable, _, _ in variables.values()}
        declared = {one.variable.name.value for one in definition.variable_definitions or ()}
        if projection is None or used != declared:
            return None
        return cls(root, variables, constants, projection)

    def arguments(self, variables: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the arguments; None where a variable is not plainly of its type."""
        arguments = dict(self._constants)
        for name, variable, fits, required in self._variables:
            if variable in variables:
                value = arguments[name] = variables[variable]
                if not fits(value):
                    return None
            elif required:
                return None
        return arguments

    def failed(self, error: Exception) -> ResponseError:
        """Return the error of this field."""
        path = [response_key(self._root)]
        return response_error(
            GraphQLError(str(error), nodes=[self._root], path=path, original_error=error)
        )


async def publish_directly(
    resolvers: Resolvers, field: DirectField, arguments: Mapping[str, Any], context: object
) -> bytes:
    """Publish, and return the JSON text of the response.

    Args:
        resolvers: what the fields do.
        field: a `publish`.
        arguments: what `field.arguments` returned.
        context: what resolvers get as `info.context`.
    """
    try:
        message = await resolvers.publish(context, arguments)
    except Exception as error:
        return encode_json({"errors": [field.failed(error)], "data": None})
    return field.projection(message)


async def subscribe_directly(
    resolvers: Resolvers, field: DirectField, arguments: Mapping[str, Any], context: object
) -> Source:
    """Subscribe to messages, without filters.

    Args: as `publish_directly`.

    Raises:
        RequestRefused: the resolver refused.
    """
    try:
        return await resolvers.subscribe(context, arguments)
    except Exception as error:
        raise RequestRefused([field.failed(error)]) from error


async def search_directly(
    resolvers: Resolvers, field: QueryField, asked: Asked, key: bytes | None, context: object
) -> bytes:
    """Search, and return the JSON text of the response.

    Args:
        resolvers: what the fields do.
        field: a `messages` query.
        asked: what it asks.
        key: of the question.
        context: what resolvers get as `info.context`.

    Raises:
        ReadingFailedError: a part could not be read.
        WidgetwireError: the context's viewer may not search.
    """
    scope = resolvers.search(context, asked.channel, asked.query)
    return await resolvers.answer(
        context, asked.channel, key, lambda: field.result(scope, asked.inner)
    )


def _is_constant(node: ValueNode, fits: _Fits) -> bool:
    if fits is _is_on_repeat:
        return isinstance(node, EnumValueNode)
    if isinstance(node, IntValueNode):
        return len(node.value) <= _MAX_INT_CHARACTERS
    return isinstance(node, StringValueNode | BooleanValueNode | NullValueNode)


def _constant(node: ValueNode) -> Any:
    return int(node.value) if isinstance(node, IntValueNode) else getattr(node, "value", None)


def _is_given(value: Any) -> bool:
    return value is not None


def _is_id(value: Any) -> bool:
    return isinstance(value, str)


def _may_be_id(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _is_on_repeat(value: Any) -> bool:
    return isinstance(value, str) and value in OnRepeat.__members__


def _may_be_integer(value: Any) -> bool:
    # GraphQL's Int has 32 bits.
    return value is None or (type(value) is int and -(2**31) <= value < 2**31)


_Arguments: TypeAlias = Mapping[str, _Fits]

_FORMS: Final[Mapping[tuple[OperationType, str], tuple[_Arguments, _Arguments]]] = {
    (OperationType.MUTATION, "publish"): (
        {"projectId": _is_id, "widgetId": _is_id, "data": _is_given},
        {
            "clientId": _may_be_id,
            "id": _may_be_id,
            "persistent": _is_boolean,
            "onRepeat": _is_on_repeat,
        },
    ),
    (OperationType.SUBSCRIPTION, "messages"): (
        {"projectId": _is_id, "widgetId": _is_id},
        {"after": _may_be_id, "last": _may_be_integer},
    ),
}
"""What has a direct way: the arguments that have to be there, and those that may be."""
