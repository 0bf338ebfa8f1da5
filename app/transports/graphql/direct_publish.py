"""The publish mutation without the engine, where it is sent the way clients send it.

One root field, its arguments plain variables or constants, its selection a list of fields:
then an operation is compiled once, and a request only picks its variables. Whatever is out
of the ordinary, a variable of another type above all, goes through the engine, which knows
how to say what is wrong.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from graphql import (
    BooleanValueNode,
    FieldNode,
    GraphQLError,
    NullValueNode,
    OperationType,
    StringValueNode,
    ValueNode,
    VariableNode,
)

from app.domain.json_value import encode_json
from app.domain.message import Message
from app.transports.graphql.documents import Operation
from app.transports.graphql.errors import response_error
from app.transports.graphql.projection import Projection, response_key

__all__ = ["DirectPublish", "Publish"]

Publish: TypeAlias = Callable[[Any, Mapping[str, Any]], Awaitable[Message]]
"""Publishes, as the resolver of the schema does: the context, and the arguments by name."""

_ID: Final = (str,)
_OPTIONAL_ID: Final = (str, type(None))
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "projectId": _ID,
    "widgetId": _ID,
    "clientId": _OPTIONAL_ID,
    "id": _OPTIONAL_ID,
    "persistent": (bool,),
}
"""What an argument may be here; `data` may be anything but null, which its type forbids."""
_REQUIRED: Final = frozenset({"projectId", "widgetId", "data"})


class DirectPublish:
    """One compiled operation."""

    def __init__(
        self,
        publish: Publish,
        root: FieldNode,
        variables: Mapping[str, str],
        constants: Mapping[str, Any],
        projection: Projection,
    ) -> None:
        self._publish = publish
        self._root = root
        self._variables = tuple(variables.items())
        self._constants = constants
        self._projection = projection

    @classmethod
    def of(cls, publish: Publish, operation: Operation) -> "DirectPublish | None":
        """Return the compiled operation; None where it is not of the ordinary form."""
        definition = operation.definition
        selections = definition.selection_set.selections
        root = selections[0]
        if (
            operation.kind is not OperationType.MUTATION
            or len(selections) != 1
            or definition.directives
            or not isinstance(root, FieldNode)
            or root.name.value != "publish"
            or root.directives
            or any(one.default_value for one in definition.variable_definitions or ())
        ):
            return None
        projection = Projection.of(root)
        variables: dict[str, str] = {}
        constants: dict[str, Any] = {}
        for argument in root.arguments or ():
            name, value = argument.name.value, argument.value
            if isinstance(value, VariableNode):
                variables[name] = value.name.value
            elif name != "data" and _is_constant(value):
                constants[name] = getattr(value, "value", None)
            else:
                return None
        used = set(variables.values())
        if projection is None or used != operation.variable_types.keys():
            return None
        if any(not isinstance(constants[name], _TYPES[name]) for name in constants):
            return None
        return cls(publish, root, variables, constants, projection)

    def arguments(self, variables: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the arguments; None where a variable is not plainly of its type."""
        arguments = dict(self._constants)
        for name, variable in self._variables:
            if variable in variables:
                value = arguments[name] = variables[variable]
                allowed = _TYPES.get(name)
                if value is None if allowed is None else not isinstance(value, allowed):
                    return None
            elif name in _REQUIRED:
                return None
        return arguments

    async def execute(self, arguments: Mapping[str, Any], context: object) -> bytes:
        """Publish, and return the JSON text of the response."""
        try:
            message = await self._publish(context, arguments)
        except Exception as error:
            located = GraphQLError(
                str(error),
                nodes=[self._root],
                path=[response_key(self._root)],
                original_error=error,
            )
            return encode_json({"errors": [response_error(located)], "data": None})
        return self._projection(message)


def _is_constant(value: ValueNode) -> bool:
    return isinstance(value, StringValueNode | BooleanValueNode | NullValueNode)
