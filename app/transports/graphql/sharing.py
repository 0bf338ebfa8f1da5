"""Which subscriptions are alike, so that one execution and one encoding serve them all."""

from collections import Counter
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, Final

from graphql import FieldNode, OperationDefinitionNode, VariableNode, Visitor, visit

from app.domain.json_value import encode_json
from app.transports.graphql.documents import Operation

__all__ = ["sharing_key"]

_SHARED_FIELD: Final = "messages"
_CURSORS: Final = frozenset({"after", "last"})
"""Arguments that only say where to begin."""


def sharing_key(operation: Operation, variables: Mapping[str, Any]) -> Hashable | None:
    """Return what is equal for subscriptions that get the same responses from now on.

    The viewer is no part of it: rights decide whether a subscription begins, and whether
    its socket lives on, not what a message looks like.

    Args:
        operation: a subscription.
        variables: as `decode_json` gives them.

    Returns:
        None for subscriptions that share nothing.
    """
    if operation.root_field != _SHARED_FIELD:
        return None
    cursors = _cursor_variables(operation)
    rest = {name: variables[name] for name in sorted(variables) if name not in cursors}
    return operation, encode_json(rest)


@lru_cache(maxsize=1_000)
def _cursor_variables(operation: Operation) -> frozenset[str]:
    """The variables that are used as a cursor and for nothing else."""
    root = operation.definition.selection_set.selections[0]
    if not isinstance(root, FieldNode):
        return frozenset()  # in a fragment: shared by equal cursors only
    as_cursor = Counter(
        argument.value.name.value
        for argument in root.arguments or ()
        if argument.name.value in _CURSORS and isinstance(argument.value, VariableNode)
    )
    counter = _Uses()
    visit(operation.document, counter)
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
