"""What is left of a subscription once it has begun: how its events are answered.

The arguments have been used; the filters among them above all may be large, and the engine
would keep the variables as long as the subscription lives. So events are answered by an
operation without them, of the same selection.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    is_required_argument,
    visit,
)

__all__ = ["Responding"]


@dataclass(frozen=True, slots=True, eq=False)
class Responding:
    """An operation for events alone."""

    document: DocumentNode
    variables: frozenset[str]
    """The names of those that it still uses."""

    @classmethod
    def of(
        cls,
        document: DocumentNode,
        definition: OperationDefinitionNode,
        root_type: GraphQLObjectType,
    ) -> "Responding":
        """Return the operation without the arguments of its root field that may be left out.

        Args:
            document: a validated one.
            definition: a subscription in it.
            root_type: of subscriptions.
        """
        fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        selection_set = _Root(fragments, root_type).selection_set(definition.selection_set)
        below = [
            fragment
            for fragment in fragments.values()
            if fragment.type_condition.name.value != root_type.name
        ]
        used = _used_variables([selection_set, *below, *(definition.directives or ())])
        operation = replace(
            definition,
            selection_set=selection_set,
            variable_definitions=tuple(
                one
                for one in definition.variable_definitions or ()
                if one.variable.name.value in used
            ),
        )
        return cls(DocumentNode(definitions=(operation, *below)), frozenset(used))

    def needed(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the variables that are still used."""
        return {name: variables[name] for name in self.variables if name in variables}


class _Root:
    """Selections of the subscription type, fragments written out."""

    def __init__(
        self, fragments: Mapping[str, FragmentDefinitionNode], root_type: GraphQLObjectType
    ) -> None:
        self._fragments = fragments
        self._root_type = root_type

    def selection_set(self, node: SelectionSetNode) -> SelectionSetNode:
        return replace(node, selections=tuple(map(self._selection, node.selections)))

    def _selection(self, node: SelectionNode) -> SelectionNode:
        if isinstance(node, FieldNode):
            return self._field(node)
        if isinstance(node, FragmentSpreadNode):
            inside = self._fragments[node.name.value].selection_set
            return InlineFragmentNode(
                directives=node.directives, selection_set=self.selection_set(inside), loc=node.loc
            )
        assert isinstance(node, InlineFragmentNode), "there is no other selection"
        return replace(node, selection_set=self.selection_set(node.selection_set))

    def _field(self, node: FieldNode) -> FieldNode:
        defined = self._root_type.fields.get(node.name.value)
        if defined is None:
            return node  # __typename
        return replace(
            node,
            arguments=tuple(
                one
                for one in node.arguments or ()
                if is_required_argument(defined.args[one.name.value])
            ),
        )


def _used_variables(nodes: Iterable[Any]) -> set[str]:
    uses = _Uses()
    for node in nodes:
        visit(node, uses)
    return uses.names


class _Uses(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.names.add(node.name.value)
