"""From what a search answers straight to a response: a plain selection of `MessageResult`.

The engine resolves, awaits and completes each field of each message: 3 ms for fifty of them.
Here each part of the result is asked for once, side by side, and encoded in one pass. All
fields of a result are non-null, so that the first part to fail is the one error there is.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec
from graphql import FieldNode
from graphql.pyutils import gather_with_cancel

from app.domain.channel import Channel
from app.domain.json_value import encode_json
from app.domain.message import Message
from app.domain.query import MessageQuery, parse_field, parse_limit
from app.engine.errors import field_error
from app.engine.records import Records, Values, aggregate_values, records
from app.engine.selections import Fragments, Nodes, response_key, selected
from app.engine.templates import ABSENT, Template, template
from app.services.searching import Searching
from app.storage.search import AggregateRow, GroupRow

__all__ = ["HasScope", "Inner", "PartFailedError", "ResultProjection", "Scope"]

Read = TypeVar("Read")
Inner: TypeAlias = Mapping[str, Any]
"""The arguments of the fields inside a result, checked, by their paths in the response."""

_DEFAULT_LIMIT: Final = 10
"""Of a group's `messages`."""


class Scope(Protocol):
    """One query of one channel, and who answers it."""

    @property
    def search(self) -> Searching:
        """Who answers."""

    @property
    def channel(self) -> Channel:
        """Where."""

    @property
    def query(self) -> MessageQuery:
        """What is asked."""

    async def read(self, reading: Awaitable[Read]) -> Read:
        """Return what a read of the search gives."""


class HasScope(Protocol):
    """What a result is made from: an event of a live one."""

    @property
    def scope(self) -> Scope:
        """Whose result it is."""


class PartFailedError(Exception):
    """A field of a result could not be read, and so there is no result.

    Args:
        error: why.
        nodes: the field.
        path: its place in the response, below the root field.
    """

    def __init__(self, error: Exception, nodes: Nodes, path: Sequence[str | int]) -> None:
        super().__init__(str(error))
        self.error = error
        self.nodes = nodes
        self.path = path


class ResultProjection:
    """The answer of one root field that selects fields of a result."""

    __slots__ = ("_arguments", "_parts", "_root_key")

    def __init__(self, root_key: str, parts: "_Parts", arguments: "_Arguments") -> None:
        self._root_key = root_key
        self._parts = parts
        self._arguments = arguments

    @classmethod
    def of(cls, root: FieldNode, fragments: Fragments) -> "ResultProjection | None":
        """Return the projection of a validated root field of type `MessageResult`.

        Returns:
            None where only the engine knows what the selection comes to.
        """
        compiling = _Compiling(fragments)
        parts = compiling.result([root])
        if parts is None:
            return None
        return cls(response_key(root), parts, tuple(compiling.arguments))

    def inner(self, variables: Mapping[str, Any]) -> Inner:
        """Return the arguments of the fields inside.

        Raises:
            BadUserInput: one is wrong; an error only if there is a group that it is asked of.
        """
        return {at: check(written(variables)) for at, written, check in self._arguments}

    async def __call__(self, scope: Scope, inner: Inner) -> bytes:
        """Read what is selected, and return the JSON text of the response.

        Raises:
            PartFailedError: a part of it could not be read.
        """
        result = await _read(self._parts, scope, inner)
        return encode_json({"data": {self._root_key: result}})

    async def response(self, scope: Scope, inner: Inner) -> bytes:
        """Return the JSON text of the response, also where a part could not be read."""
        try:
            return await self(scope, inner)
        except PartFailedError as failed:
            return self.refusal(failed)

    def refusal(self, failed: PartFailedError) -> bytes:
        """Return the JSON text of the response where a part could not be read."""
        path = [self._root_key, *failed.path]
        error = field_error(failed.error, failed.nodes, path)
        return encode_json({"errors": [error], "data": None})


_Part: TypeAlias = Callable[[Scope, Inner], Awaitable[Any]]
_Parts: TypeAlias = Sequence[tuple[str, Nodes, _Part | str]]
"""The fields of a result: key, nodes, and what reads its value, or the value."""
_Arguments: TypeAlias = Sequence[tuple[str, Template, Callable[[Any], Any]]]

_Rows: TypeAlias = Callable[[Scope, Sequence[GroupRow], Any], Awaitable[Sequence[Any]]]
_Column: TypeAlias = Callable[[Sequence[Any]], list[Any]]


class _GroupField:
    """A field of all groups: what is read for them, if anything, and what becomes of it."""

    __slots__ = ("at", "column", "key", "nodes", "rows")

    def __init__(
        self, key: str, nodes: Nodes, column: _Column, rows: _Rows | None = None, at: str = ""
    ) -> None:
        self.key = key
        self.nodes = nodes
        self.column = column
        """From what was read, or from the groups, to the field's values."""
        self.rows = rows
        self.at = at


async def _read(parts: _Parts, scope: Scope, inner: Inner) -> dict[str, Any]:
    """Return the fields of a result; what is read is read side by side."""
    reading = [
        _named(key, nodes, part, scope, inner)
        for key, nodes, part in parts
        if not isinstance(part, str)
    ]
    # One alone needs no task.
    values = [await reading[0]] if len(reading) == 1 else await gather_with_cancel(*reading)
    found = iter(values)
    return {key: part if isinstance(part, str) else next(found) for key, _, part in parts}


async def _named(key: str, nodes: Nodes, part: _Part, scope: Scope, inner: Inner) -> Any:
    try:
        return await part(scope, inner)
    except PartFailedError as failed:
        failed.path = [key, *failed.path]
        raise
    except Exception as error:
        raise PartFailedError(error, nodes, [key]) from error


class _Compiling:
    """One selection; it gathers the arguments inside."""

    def __init__(self, fragments: Fragments) -> None:
        self._fragments = fragments
        self.arguments: list[tuple[str, Template, Callable[[Any], Any]]] = []

    def result(self, nodes: Nodes) -> _Parts | None:
        parts: list[tuple[str, Nodes, _Part | str]] = []
        for key, fields in (selected(nodes, self._fragments) or {}).items():
            part = self._result_field(key, fields)
            if part is None:
                return None
            parts.append((key, fields, part))
        return parts or None

    def _result_field(self, key: str, nodes: Nodes) -> _Part | str | None:
        part: _Part | str | None = None
        match nodes[0].name.value:
            case "messages":
                if (found := self._records(nodes)) is not None:
                    part = _messages(found)
            case "groups":
                if (fields := self._group_fields(key, nodes)) is not None:
                    part = _groups(fields)
            case "aggregate":
                values = self._aggregate_values(nodes)
                if values is not None and self._path(key, nodes):
                    part = _aggregate(key, values)
            case "totalCount":
                part = _total_count
            case "__typename":
                part = "MessageResult"
        return part

    def _group_fields(self, at: str, nodes: Nodes) -> list[_GroupField] | None:
        fields = []
        for key, inside in (selected(nodes, self._fragments) or {}).items():
            field = self._group_field(f"{at}.{key}", key, inside)
            if field is None:
                return None
            fields.append(field)
        return fields or None

    def _group_field(self, at: str, key: str, nodes: Nodes) -> _GroupField | None:
        field = None
        match nodes[0].name.value:
            case "key":
                field = _GroupField(key, nodes, _keys)
            case "count":
                field = _GroupField(key, nodes, _counts)
            case "messages":
                found = self._records(nodes)
                limit = self._argument(at, nodes, "limit", _limit, _DEFAULT_LIMIT)
                if found is not None and limit:
                    field = _GroupField(key, nodes, _each(found), _group_messages, at)
            case "aggregate":
                values = self._aggregate_values(nodes)
                if values is not None and self._path(at, nodes):
                    field = _GroupField(key, nodes, _each(values), _group_aggregates, at)
            case "__typename":
                field = _GroupField(key, nodes, _group_names)
        return field

    def _records(self, nodes: Nodes) -> Records | None:
        fields = {
            key: inside[0].name.value
            for key, inside in (selected(nodes, self._fragments) or {}).items()
        }
        return records(tuple(fields.items())) if fields else None

    def _aggregate_values(self, nodes: Nodes) -> Values | None:
        fields = {
            key: inside[0].name.value
            for key, inside in (selected(nodes, self._fragments) or {}).items()
        }
        return aggregate_values(fields) if fields else None

    def _path(self, at: str, nodes: Nodes) -> bool:
        return self._argument(at, nodes, "field", lambda text: parse_field("field", text))

    def _argument(
        self,
        at: str,
        nodes: Nodes,
        name: str,
        check: Callable[[Any], Any],
        default: Any = None,
    ) -> bool:
        """Note the one argument of a field; False where the engine has to coerce it."""
        given = [one.value for one in nodes[0].arguments or () if one.name.value == name]
        written = template(given[0]) if given else lambda _variables: ABSENT
        if written is None:
            return False
        of = written

        def value(variables: Mapping[str, Any]) -> Any:
            found = of(variables)
            return default if found is ABSENT else found

        self.arguments.append((at, value, check))
        return True


def _limit(value: Any) -> int:
    # `parse_limit` takes null for its default, and GraphQL does not.
    return parse_limit("limit", ABSENT if value is None else value)


# What is read.


def _messages(records: Records) -> _Part:
    async def read(scope: Scope, _inner: Inner) -> list[msgspec.Struct]:
        if scope.query.group_by is not None:
            return []
        return records(await scope.read(scope.search.messages(scope.channel, scope.query)))

    return read


async def _total_count(scope: Scope, _inner: Inner) -> int:
    return await scope.read(scope.search.total_count(scope.channel, scope.query))


def _aggregate(at: str, values: Values) -> _Part:
    async def read(scope: Scope, inner: Inner) -> dict[str, Any]:
        reading = scope.search.aggregate(scope.channel, scope.query, inner[at])
        return values(await scope.read(reading))

    return read


def _groups(fields: Sequence[_GroupField]) -> _Part:
    async def read(scope: Scope, inner: Inner) -> list[dict[str, Any]]:
        if scope.query.group_by is None:
            return []
        groups = await scope.read(scope.search.groups(scope.channel, scope.query))
        if not groups:
            return []
        # What several fields ask for is read once.
        wanted: dict[tuple[_Rows, Any], _GroupField] = {}
        for field in fields:
            if field.rows is not None:
                wanted.setdefault((field.rows, inner[field.at]), field)
        reading = [
            _of_groups(field, rows, scope, groups, argument)
            for (rows, argument), field in wanted.items()
        ]
        found = dict(zip(wanted, await gather_with_cancel(*reading), strict=True))
        columns = [
            field.column(groups if field.rows is None else found[field.rows, inner[field.at]])
            for field in fields
        ]
        keys = [field.key for field in fields]
        return [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]

    return read


async def _of_groups(
    field: _GroupField, rows: _Rows, scope: Scope, groups: Sequence[GroupRow], argument: Any
) -> Any:
    try:
        return await rows(scope, groups, argument)
    except Exception as error:
        raise PartFailedError(error, field.nodes, [0, field.key]) from error


async def _group_messages(
    scope: Scope, groups: Sequence[GroupRow], limit: int
) -> Sequence[list[Message]]:
    keys = [one.key_json for one in groups]
    reading = scope.search.group_messages(scope.channel, scope.query, keys, limit)
    return await scope.read(reading)


async def _group_aggregates(
    scope: Scope, groups: Sequence[GroupRow], path: Any
) -> Sequence[AggregateRow]:
    keys = [one.key_json for one in groups]
    return await scope.read(scope.search.group_aggregates(scope.channel, scope.query, keys, path))


# What becomes of it.


def _each(value: Callable[[Any], Any]) -> _Column:
    return lambda rows: [value(one) for one in rows]


def _keys(groups: Sequence[GroupRow]) -> list[msgspec.Raw]:
    return [msgspec.Raw(one.key_json) for one in groups]


def _counts(groups: Sequence[GroupRow]) -> list[int]:
    return [one.count for one in groups]


def _group_names(groups: Sequence[GroupRow]) -> list[str]:
    return ["MessageGroup"] * len(groups)
