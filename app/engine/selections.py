"""The fields that a selection comes to: fragments spread, fields of one key merged."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    NamedTypeNode,
    SelectionNode,
)

__all__ = ["Fragments", "Nodes", "response_key", "selected"]

Fragments = Mapping[str, FragmentDefinitionNode]
"""The fragments of a document by their names."""
Nodes = Sequence[FieldNode]
"""The fields that share a response key; validation has proven that they are one field."""


def selected(
    nodes: Nodes, fragments: Fragments, types: Collection[str] | None = None
) -> dict[str, Nodes] | None:
    """Return the fields below some, by their keys in the response and in its order.

    Args:
        nodes: fields of one type.
        fragments: of the document.
        types: the names of the object's type and of the unions that it is in: fragments on
            other types do not apply. None: the type is no union, and all apply.

    Returns:
        None where a directive decides what is selected.
    """
    found: dict[str, list[FieldNode]] = {}
    spread: set[str] = set()
    for node in nodes:
        inside = node.selection_set.selections if node.selection_set else ()
        if not _collect(inside, fragments, types, found, spread):
            return None
    return dict(found)


def _collect(
    selections: Iterable[SelectionNode],
    fragments: Fragments,
    types: Collection[str] | None,
    found: dict[str, list[FieldNode]],
    spread: set[str],
) -> bool:
    for selection in selections:
        if selection.directives:
            return False
        inside: Iterable[SelectionNode] = ()
        if isinstance(selection, FieldNode):
            found.setdefault(response_key(selection), []).append(selection)
        elif isinstance(selection, InlineFragmentNode):
            if _applies(selection.type_condition, types):
                inside = selection.selection_set.selections
        elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in spread:
            spread.add(selection.name.value)
            fragment = fragments[selection.name.value]
            if fragment.directives:
                return False
            if _applies(fragment.type_condition, types):
                inside = fragment.selection_set.selections
        if not _collect(inside, fragments, types, found, spread):
            return False
    return True


def _applies(condition: NamedTypeNode | None, types: Collection[str] | None) -> bool:
    return condition is None or types is None or condition.name.value in types


def response_key(node: FieldNode) -> str:
    """Return the key of a field's value in the response: its alias or its name."""
    return node.alias.value if node.alias else node.name.value
