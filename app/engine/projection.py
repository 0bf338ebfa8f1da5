"""From a message straight to its response, where a selection is a plain list of fields.

graphql-core resolves, awaits and completes each field of each message, for 100 µs and more.
A selection of `Message` fields without fragments and directives, as clients send it, has one
possible answer; it is read off here in a few. Any other selection is left to the engine.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

from graphql import FieldNode

from app.domain.json_value import encode_json
from app.domain.message import MESSAGE_FIELDS, Message
from app.engine.selections import response_key

__all__ = ["MESSAGE_VALUES", "Projection"]

MESSAGE_VALUES: Final[Mapping[str, Callable[[Message], Any]]] = {
    field.graphql: attrgetter(field.value) for field in MESSAGE_FIELDS
} | {"__typename": lambda _message: "Message"}


class Projection:
    """The answer of one root field that selects fields of a message."""

    __slots__ = ("_fields", "_response_key")

    def __init__(self, response_key: str, fields: Mapping[str, Callable[[Message], Any]]) -> None:
        self._response_key = response_key
        self._fields = tuple(fields.items())

    @classmethod
    def of(cls, root: FieldNode) -> "Projection | None":
        """Return the projection of a validated root field of type `Message`.

        Returns:
            None where the selection is more than a list of fields.
        """
        fields: dict[str, Callable[[Message], Any]] = {}
        for selection in root.selection_set.selections if root.selection_set else ():
            if not isinstance(selection, FieldNode) or selection.directives:
                return None
            # Validation has proven that fields of one key are the same field.
            fields[response_key(selection)] = MESSAGE_VALUES[selection.name.value]
        return cls(response_key(root), fields)

    def __call__(self, message: Message) -> bytes:
        """Return the JSON text of the response."""
        selected = {key: get(message) for key, get in self._fields}
        return encode_json({"data": {self._response_key: selected}})
