"""Which subscriptions are alike, so that one execution and one encoding serve them all."""

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)

from app.domain.json_value import encode_json

__all__ = ["Sharing", "document_digest"]

_CURSORS: Final = frozenset({"after", "last"})
"""Arguments that only say where to begin."""
_DIGEST_BYTES: Final = 16
"""Nobody finds two operations of one digest."""


def document_digest(text: str) -> bytes:
    """Return what is equal for documents of equal text only."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()


class Sharing:
    """What makes subscriptions of one operation alike."""

    __slots__ = ("_operation", "_variables")

    def __init__(self, operation: bytes, variables: tuple[str, ...]) -> None:
        self._operation = operation
        self._variables = variables

    @classmethod
    def of(
        cls,
        document: DocumentNode,
        definition: OperationDefinitionNode,
        digest: bytes,
    ) -> "Sharing":
        """Return how an operation's subscriptions are shared.

        Args:
            document: where the operation is from.
            definition: the operation.
            digest: of the document.
        """
        name = definition.name.value if definition.name else ""
        cursors = _cursor_variables(document, definition)
        declared = {one.variable.name.value for one in definition.variable_definitions or ()}
        return cls(_digest(digest, name.encode()), tuple(sorted(declared - cursors)))

    def key(self, variables: Mapping[str, Any]) -> bytes:
        """Return what is equal for subscriptions that get the same responses from now on.

        The viewer is no part of it: rights decide whether a subscription begins, and whether
        its socket lives on, not what a message looks like. A digest: the key lives as long
        as its group, and need not keep the variables.

        Args:
            variables: as `decode_json` gives them.
        """
        given = {name: variables[name] for name in self._variables if name in variables}
        return _digest(self._operation, encode_json(given))


def _digest(key: bytes, text: bytes) -> bytes:
    return blake2b(text, digest_size=_DIGEST_BYTES, key=key).digest()


def _cursor_variables(
    document: DocumentNode, definition: OperationDefinitionNode
) -> frozenset[str]:
    """Return the variables that are used as a cursor and for nothing else."""
    root = definition.selection_set.selections[0]
    if not isinstance(root, FieldNode):
        return frozenset()  # in a fragment: shared by equal cursors only
    as_cursor = Counter(
        argument.value.name.value
        for argument in root.arguments or ()
        if argument.name.value in _CURSORS and isinstance(argument.value, VariableNode)
    )
    counter = _Uses()
    visit(document, counter)
    return frozenset(name for name, uses in as_cursor.items() if counter.uses[name] == uses)


class _Uses(Visitor):
    """Counts where variables are used, their definitions left out."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: Counter[str] = Counter()

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
        for definition in node.variable_definitions or ():
            self.uses[definition.variable.name.value] -= 1

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.uses[node.name.value] += 1
