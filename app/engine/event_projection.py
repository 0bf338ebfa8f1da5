"""From a channel's event straight to its response, whatever fragments select it by its type."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final, TypeAlias

from graphql import FieldNode

from app.domain.json_value import encode_json
from app.engine.projection import MESSAGE_VALUES
from app.engine.selections import Fragments, Nodes, response_key, selected
from app.services.live.source import Respond

__all__ = ["EventProjection"]

_UNION: Final = "ChannelEvent"
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "MessagePublished": ("cursor",),
    "MessagesRetracted": ("cursor", "ids", "reason"),
    "CaughtUp": ("cursor",),
}
"""The types of the union and their fields; any other type is left to the engine."""

_Values: TypeAlias = Mapping[str, Callable[[Any], Any]]
"""What gives the value of each key of a response."""


class EventProjection:
    """The answer of a root field that selects fields of the union of events."""

    __slots__ = ("_by_kind", "_response_key")

    def __init__(self, response_key: str, by_kind: Mapping[str, _Values]) -> None:
        self._response_key = response_key
        self._by_kind = by_kind

    @classmethod
    def of(cls, root: FieldNode, fragments: Fragments) -> "EventProjection | None":
        """Return the projection of a validated root field of type `ChannelEvent`.

        Args:
            root: without directives.
            fragments: of its document.

        Returns:
            None where a directive decides what is selected.
        """
        by_kind: dict[str, _Values] = {}
        for kind, names in _KINDS.items():
            fields = selected([root], fragments, frozenset({kind, _UNION}))
            values = None if fields is None else _values(kind, names, fields, fragments)
            if values is None:
                return None
            by_kind[kind] = values
        return cls(response_key(root), by_kind)

    def or_by(self, engine: Respond) -> Respond:
        """Return what answers events of all types.

        Args:
            engine: answers those of other types.
        """

        def respond(event: Any) -> Any:
            values = self._by_kind.get(_kind_of(event))
            if values is None:
                return engine(event)
            answer = {key: value(event) for key, value in values.items()}
            return encode_json({"data": {self._response_key: answer}})

        return respond


def _kind_of(event: Any) -> str:
    kind: str = type(event).__strawberry_definition__.name
    return kind


def _values(
    kind: str, names: tuple[str, ...], fields: Mapping[str, Nodes], fragments: Fragments
) -> _Values | None:
    values: dict[str, Callable[[Any], Any]] = {}
    for key, nodes in fields.items():
        name = nodes[0].name.value
        if name == "__typename":
            values[key] = lambda _event: kind
        elif name in names:
            values[key] = attrgetter(name)
        else:
            message = selected(nodes, fragments)
            if message is None:
                return None
            values[key] = _message({key: nodes[0].name.value for key, nodes in message.items()})
    return values


def _message(fields: Mapping[str, str]) -> Callable[[Any], Any]:
    getters = tuple((key, MESSAGE_VALUES[name]) for key, name in fields.items())
    return lambda event: {key: get(event.message) for key, get in getters}
