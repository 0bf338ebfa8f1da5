"""From what a search answers straight to a response: a plain selection of `MessageResult`.

The engine resolves, awaits and completes each field of each message: 3 ms for fifty of them.
Here a selection is compiled once to what it needs read and what becomes of it, and a response
is encoded in one pass.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from graphql import FieldNode

from app.domain.json_value import encode_json
from app.domain.query import AggregateFunction, parse_field, parse_limit
from app.domain.results import AggregateRow, GroupRow
from app.engine.reading import Inner, Reading, Scope, Wanted
from app.engine.records import Records, Values, aggregate_values, page_values, records
from app.engine.selections import Fragments, Nodes, response_key, selected
from app.engine.templates import ABSENT, Template, template

__all__ = ["HasScope", "ResultProjection"]

_DEFAULT_LIMIT: Final = 10
"""Of a group's `messages`."""

_NOTHING: Final = AggregateRow()
"""Where nothing is read, for the name of a type."""

_Part: TypeAlias = Callable[[Reading, Inner], Any]
"""From what was read to the value of a field."""
_Parts: TypeAlias = Sequence[tuple[str, _Part]]
_Column: TypeAlias = Callable[[Reading, Inner], Sequence[Any]]
"""From what was read to the values of a field of all groups."""
_Arguments: TypeAlias = Sequence[tuple[str, Template, Callable[[Any], Any]]]


class HasScope(Protocol):
    """What a result is made from: an event of a live one."""

    @property
    def scope(self) -> Scope:
        """Whose result it is."""


class ResultProjection:
    """The answer of one root field that selects fields of a result."""

    __slots__ = ("_arguments", "_parts", "_root_key", "_wanted")

    def __init__(self, root_key: str, parts: _Parts, wanted: Wanted, arguments: _Arguments) -> None:
        self._root_key = root_key
        self._parts = parts
        self._wanted = wanted
        self._arguments = arguments

    @classmethod
    def of(cls, root: FieldNode, fragments: Fragments) -> "ResultProjection | None":
        """Return the projection of a validated root field of type `MessageResult`.

        Returns:
            None where only the engine knows what the selection comes to.
        """
        compiling = _Compiling(fragments)
        try:
            parts = compiling.result([root])
        except _NotPlainError:
            return None
        return cls(response_key(root), parts, compiling.wanted(), tuple(compiling.arguments))

    def inner(self, variables: Mapping[str, Any]) -> Inner:
        """Return the arguments of the fields inside.

        Raises:
            BadUserInput: one is wrong; an error only if there is a group that it is asked of.
        """
        return {at: check(written(variables)) for at, written, check in self._arguments}

    async def __call__(self, scope: Scope, inner: Inner) -> bytes:
        """Read what is selected, and return the JSON text of the response.

        Raises:
            ReadingFailedError: a part of it could not be read.
        """
        reading = Reading(scope)
        await reading.read(self._wanted, inner)
        result = {key: part(reading, inner) for key, part in self._parts}
        return encode_json({"data": {self._root_key: result}})


class _NotPlainError(Exception):
    """The engine has to say what this comes to."""


class _Compiling:
    """One selection; it gathers what is needed."""

    def __init__(self, fragments: Fragments) -> None:
        self._fragments = fragments
        self.arguments: list[tuple[str, Template, Callable[[Any], Any]]] = []
        self._reads: set[str] = set()
        self._aggregates: list[tuple[str, frozenset[AggregateFunction]]] = []
        self._group_messages: list[str] = []
        self._group_aggregates: list[tuple[str, frozenset[AggregateFunction]]] = []

    def wanted(self) -> Wanted:
        return Wanted(
            rows="messages" in self._reads,
            groups="groups" in self._reads,
            neighbours="pageInfo" in self._reads,
            total_count="totalCount" in self._reads,
            aggregates=tuple(self._aggregates),
            group_messages=tuple(self._group_messages),
            group_aggregates=tuple(self._group_aggregates),
        )

    def result(self, nodes: Nodes) -> _Parts:
        return [(key, self._part(key, inside)) for key, inside in self._fields(nodes).items()]

    def _part(self, key: str, nodes: Nodes) -> _Part:
        name = nodes[0].name.value
        self._reads.add(name)
        match name:
            case "messages":
                return _messages(self._records(nodes))
            case "groups":
                return self._groups(key, nodes)
            case "aggregate":
                values, functions = self._aggregate_values(nodes)
                self._path(key, nodes)
                self._aggregates.append((key, functions))
                return _aggregate(key, values) if functions else _nothing(values)
            case "pageInfo":
                return _page_info(self._names(nodes))
            case "totalCount":
                return lambda reading, _inner: reading.total_count
            case "__typename":
                return lambda _reading, _inner: "MessageResult"
        raise _NotPlainError

    def _groups(self, at: str, nodes: Nodes) -> _Part:
        columns = [
            (key, self._column(f"{at}.{key}", inside))
            for key, inside in self._fields(nodes).items()
        ]
        keys = [key for key, _ in columns]

        def groups(reading: Reading, inner: Inner) -> list[dict[str, Any]]:
            if not (reading.grouped and reading.rows):
                return []
            values = zip(*(column(reading, inner) for _, column in columns), strict=True)
            return [dict(zip(keys, of_one, strict=True)) for of_one in values]

        return groups

    def _column(self, at: str, nodes: Nodes) -> _Column:
        match nodes[0].name.value:
            case "key":
                return _group_keys
            case "count":
                return _group_counts
            case "messages":
                found = self._records(nodes)
                self._argument(at, nodes, "limit", _limit, _DEFAULT_LIMIT)
                self._group_messages.append(at)
                return _of_groups("group_messages", at, found)
            case "aggregate":
                values, functions = self._aggregate_values(nodes)
                self._path(at, nodes)
                self._group_aggregates.append((at, functions))
                return _of_groups("group_aggregates", at, values, without=not functions)
            case "__typename":
                return lambda reading, _inner: ["MessageGroup"] * len(reading.rows)
        raise _NotPlainError

    def _fields(self, nodes: Nodes) -> dict[str, Nodes]:
        fields = selected(nodes, self._fragments)
        if fields is None:
            raise _NotPlainError
        return fields

    def _names(self, nodes: Nodes) -> dict[str, str]:
        return {key: inside[0].name.value for key, inside in self._fields(nodes).items()}

    def _records(self, nodes: Nodes) -> Records:
        found = records(tuple(self._names(nodes).items()))
        if found is None:
            raise _NotPlainError
        return found

    def _aggregate_values(self, nodes: Nodes) -> tuple[Values, frozenset[AggregateFunction]]:
        names = self._names(nodes)
        values = aggregate_values(names)
        if values is None:
            raise _NotPlainError
        functions = frozenset(one for one in AggregateFunction if one.value in names.values())
        return values, functions

    def _path(self, at: str, nodes: Nodes) -> None:
        self._argument(at, nodes, "field", lambda text: parse_field("field", text))

    def _argument(
        self,
        at: str,
        nodes: Nodes,
        name: str,
        check: Callable[[Any], Any],
        default: Any = None,
    ) -> None:
        """Note the one argument of a field."""
        given = [one.value for one in nodes[0].arguments or () if one.name.value == name]
        written = template(given[0]) if given else _absent
        if written is None:
            raise _NotPlainError
        of = written

        def value(variables: Mapping[str, Any]) -> Any:
            found = of(variables)
            return default if found is ABSENT else found

        self.arguments.append((at, value, check))


def _absent(_variables: Mapping[str, Any]) -> Any:
    return ABSENT


def _limit(value: Any) -> int:
    # `parse_limit` takes null for its default, and GraphQL does not.
    return parse_limit("limit", ABSENT if value is None else value)


def _messages(found: Records) -> _Part:
    return lambda reading, _inner: [] if reading.grouped else found(reading.rows)


def _aggregate(at: str, values: Values) -> _Part:
    return lambda reading, inner: values(reading.aggregate(inner[at]))


def _nothing(values: Values) -> _Part:
    return lambda _reading, _inner: values(_NOTHING)


def _page_info(names: Mapping[str, str]) -> _Part:
    values = page_values(names)
    if values is None:
        raise _NotPlainError
    of = values
    return lambda reading, _inner: of(reading.page, reading.grouped)


def _of_groups(
    read: str, at: str, value: Callable[[Any], Any], *, without: bool = False
) -> _Column:
    if without:
        return lambda reading, _inner: [value(_NOTHING) for _ in reading.rows]
    return lambda reading, inner: [value(one) for one in reading.of_groups(read, inner[at])]


def _group_keys(reading: Reading, _inner: Inner) -> list[msgspec.Raw]:
    rows: Sequence[GroupRow] = reading.rows
    return [msgspec.Raw(one.key_json) for one in rows]


def _group_counts(reading: Reading, _inner: Inner) -> list[int]:
    rows: Sequence[GroupRow] = reading.rows
    return [one.count for one in rows]
