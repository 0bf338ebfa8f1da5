"""A `messages` query, or a live one, of the ordinary form: compiled once, asked in one step.

One root field, its arguments constants or variables: then what comes is read by the query
language itself, without graphql-core's coercion and Strawberry's inputs. Where anything is
wrong, or only might be, the engine is asked instead: it knows how to say it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    FieldNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    OperationType,
)

from app.domain.channel import Channel, parse_channel
from app.domain.json_value import encode_json
from app.domain.query import MessageQuery, parse_query
from app.engine.reading import Inner
from app.engine.results import ResultProjection
from app.engine.selections import Fragments
from app.engine.templates import ABSENT, Template, template
from app.errors import WidgetwireError

__all__ = ["Asked", "AskedQueries", "QueryField"]

_ROOTS: Final = {
    OperationType.QUERY: "messages",
    OperationType.SUBSCRIPTION: "liveMessages",
}
_ARGUMENTS: Final = frozenset({"projectId", "widgetId", "query"})
_NOT_NULL: Final = ("offset", "limit", "filters")
"""Of a query: what GraphQL refuses as null, and the query language takes for absent."""
_MAX_OBJECTS: Final = 200
"""In the variables; with more, the engine counts what it may be."""
_MAX_KEPT_BYTES: Final = 1024
"""Of the variables' text: larger ones are seldom sent again."""
_MAX_KEPT: Final = 2000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks of a search."""

    channel: Channel
    query: MessageQuery
    inner: Inner


class QueryField:
    """The root field of one operation, compiled: `messages` of a query, or `liveMessages`."""

    __slots__ = ("_arguments", "_defaults", "_digest", "_repeated", "_required", "result")

    def __init__(
        self,
        arguments: Mapping[str, Template],
        defaults: Mapping[str, Any],
        required: Mapping[str, bool],
        repeated: frozenset[str],
        digest: bytes,
        result: ResultProjection,
    ) -> None:
        self.result = result
        """From what is found to the response."""
        self._arguments = arguments
        self._defaults = defaults
        self._required = required
        self._repeated = repeated
        self._digest = digest

    @classmethod
    def of(
        cls,
        definition: OperationDefinitionNode,
        fragments: Fragments,
        uses: Mapping[str, int],
        digest: bytes,
    ) -> "QueryField | None":
        """Return the compiled field; None where the operation is not of the ordinary form.

        Args:
            definition: any operation, validated.
            fragments: of its document.
            uses: how often each variable stands in an argument.
            digest: of the document.
        """
        root = definition.selection_set.selections[0]
        if (
            len(definition.selection_set.selections) != 1
            or definition.directives
            or not isinstance(root, FieldNode)
            or root.directives
            or root.name.value != _ROOTS.get(definition.operation)
        ):
            return None
        arguments: dict[str, Template] = {}
        for argument in root.arguments or ():
            written = template(argument.value)
            if written is None or argument.name.value not in _ARGUMENTS:
                return None
            arguments[argument.name.value] = written
        defaults: dict[str, Any] = {}
        required: dict[str, bool] = {}
        for one in definition.variable_definitions or ():
            name = one.variable.name.value
            required[name] = isinstance(one.type, NonNullTypeNode)
            if one.default_value is not None:
                default = template(one.default_value)
                if default is None:
                    return None
                defaults[name] = default({})
        result = ResultProjection.of(root, fragments)
        if result is None:
            return None
        operation = definition.name.value if definition.name else ""
        repeated = frozenset(name for name, times in uses.items() if times > 1)
        # A name has neither braces nor quotes: the variables' text begins where it ends.
        digest += operation.encode()
        return cls(arguments, defaults, required, repeated, digest, result)

    def given(self, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return those of a request's variables that the operation has."""
        return {name: variables[name] for name in self._required if name in variables}

    def key(self, given: Mapping[str, Any]) -> bytes | None:
        """Return what is equal for equal questions only; None: too large to be kept."""
        text = encode_json(given) if given else b""
        return self._digest + text if len(text) <= _MAX_KEPT_BYTES else None

    def asked(self, given: Mapping[str, Any]) -> Asked | None:
        """Return what is asked; None where something about it is not plainly good.

        Args:
            given: what `given` returned.
        """
        variables = {**self._defaults, **given}
        if not self._are_plain(variables):
            return None
        arguments = {key: one(variables) for key, one in self._arguments.items()}
        project, widget = arguments["projectId"], arguments["widgetId"]
        wire = arguments.get("query", ABSENT)
        wire = {} if wire is ABSENT else wire
        if not (isinstance(project, str) and isinstance(widget, str) and isinstance(wire, dict)):
            return None
        if any(wire.get(name, ABSENT) is None for name in _NOT_NULL):
            return None
        try:
            inner = self.result.inner(variables)
            return Asked(parse_channel(project, widget), parse_query(wire), inner)
        except WidgetwireError:
            return None

    def _are_plain(self, variables: Mapping[str, Any]) -> bool:
        for name, required in self._required.items():
            value = variables.get(name)
            if required and value is None:
                return False
            if name in self._repeated and isinstance(value, dict | list):
                return False  # The engine counts it as often as it is used.
        return _objects(variables) <= _MAX_OBJECTS


class AskedQueries:
    """What the last questions were, by their keys; the least recently asked goes first.

    At most 2,000, with variables of at most 1 KiB each.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Asked] = OrderedDict()

    def asked(
        self, field: QueryField, variables: Mapping[str, Any]
    ) -> tuple[Asked, bytes | None] | None:
        """Return what is asked, and the key of the question.

        Returns:
            None where the engine has to be asked.
        """
        given = field.given(variables)
        key = field.key(given)
        known = None if key is None else self._kept.get(key)
        if known is not None:
            assert key is not None
            self._kept.move_to_end(key)
            return known, key
        asked = field.asked(given)
        if asked is None:
            return None
        if key is not None:
            self._kept[key] = asked
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return asked, key


def _objects(given: Mapping[str, Any]) -> int:
    """Return how many objects the variables hold, counted no further than is of interest."""
    count = 0
    waiting: list[Any] = [one for one in given.values() if isinstance(one, dict | list)]
    while waiting and count <= _MAX_OBJECTS:
        one = waiting.pop()
        count += isinstance(one, dict)
        inside = one.values() if isinstance(one, dict) else one
        waiting.extend(value for value in inside if isinstance(value, dict | list))
    return count
