"""Bounds of a GraphQL document, checked after parsing and before validation.

Validation and execution cost more than the document's length suggests: fragments multiply
fields, and rules compare fields of one name pairwise. So the counts here are of the
document with its fragments spread.
"""

from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

__all__ = ["DocumentLimits", "check_limits"]


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What one document may hold; beyond any of it, the document is refused."""

    characters: int = 200_000
    tokens: int = 10_000
    """Lexical tokens; a JSON literal written into the document counts too."""
    comments: int = 1_000
    operations: int = 50
    depth: int = 20
    """Fields inside one another; the introspection query of GraphiQL has 15."""
    fields: int = 500
    """Fields of an operation after spreading its fragments."""
    root_fields: int = 50
    aliases: int = 100
    directives: int = 50


@dataclass(slots=True)
class _Size:
    """The measures of a selection set, its fragments spread."""

    depth: int = 0
    fields: int = 0
    root_fields: int = 0
    aliases: int = 0
    directives: int = 0


def check_limits(document: DocumentNode, limits: DocumentLimits) -> None:
    """Return if the document is within the bounds.

    Linear in the document's length: each fragment is measured once. A fragment that
    spreads itself counts nothing there; validation refuses it.

    Raises:
        GraphQLError: names the measure, what came and what is allowed.
    """
    operations = [node for node in document.definitions if _is_operation(node)]
    if len(operations) > limits.operations:
        raise GraphQLError(_beyond("the document", "operations", len(operations), limits))
    measure = _Measure(document)
    # Unused fragments are measured too: validation visits them before it refuses them.
    for node in document.definitions:
        if not isinstance(node, OperationDefinitionNode | FragmentDefinitionNode):
            continue
        size = measure.of(node.selection_set)
        size.directives += len(node.directives or ())
        for name in ("depth", "fields", "root_fields", "aliases", "directives"):
            came = getattr(size, name)
            if came > getattr(limits, name):
                what = "operation" if isinstance(node, OperationDefinitionNode) else "fragment"
                raise GraphQLError(_beyond(f"the {what}", name, came, limits), node)
    definitions = len(document.definitions)
    if definitions > limits.fields:
        raise GraphQLError(
            f"the document has {definitions} definitions, at most {limits.fields} are allowed"
        )


def _is_operation(node: object) -> bool:
    return isinstance(node, OperationDefinitionNode)


def _beyond(what: str, measure: str, came: int, limits: DocumentLimits) -> str:
    allowed = getattr(limits, measure)
    if measure == "depth":
        return f"{what} is {came} fields deep, at most {allowed} are allowed"
    return f"{what} has {came} {measure.replace('_', ' ')}, at most {allowed} are allowed"


class _Measure:
    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._sizes: dict[str, _Size] = {}

    def of(self, selection_set: SelectionSetNode) -> _Size:
        # The parser bounds nesting within a definition, and fragments are on the stack
        # once each, so that recursion here has an end; see `_fragment`.
        size = _Size()
        for selection in selection_set.selections:
            size.directives += len(selection.directives or ())
            if isinstance(selection, FieldNode):
                size.fields += 1
                size.root_fields += 1
                size.aliases += selection.alias is not None
                size.depth = max(size.depth, 1)
                if selection.selection_set:
                    self._add(size, self.of(selection.selection_set), below=1)
            elif isinstance(selection, InlineFragmentNode):
                self._add(size, self.of(selection.selection_set), below=0)
            elif isinstance(selection, FragmentSpreadNode):
                self._add(size, self._fragment(selection.name.value), below=0)
        return size

    @staticmethod
    def _add(size: _Size, inner: _Size, below: int) -> None:
        size.depth = max(size.depth, inner.depth + below)
        size.fields += inner.fields
        size.aliases += inner.aliases
        size.directives += inner.directives
        if not below:
            size.root_fields += inner.root_fields

    def _fragment(self, name: str) -> _Size:
        known = self._sizes.get(name)
        if known is not None:
            return known
        # In place before the fragment is measured, so that a cycle ends.
        self._sizes[name] = _Size()
        fragment = self._fragments.get(name)
        if fragment is not None:
            self._sizes[name] = self.of(fragment.selection_set)
        return self._sizes[name]
