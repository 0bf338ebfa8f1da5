"""Bounds of a GraphQL document, checked after parsing and before validation.

Validation and execution cost more than the document's length suggests: fragments multiply
fields, and rules compare fields of one name pairwise. So the counts here are of the
document with its fragments spread.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    TokenKind,
    VariableNode,
)

from app.defaults import MAX_QUERY_ALIASES, MAX_QUERY_DEPTH, MAX_QUERY_TOKENS

__all__ = ["MAX_INPUTS", "MAX_PLAIN_ITEMS", "DocumentLimits", "check_limits"]

MAX_INPUTS: Final = 500
"""Input objects and list items that one request has coerced, each as often as it is used."""
MAX_PLAIN_ITEMS: Final = 2_000
"""List items that are text or numbers, in the same way: half a microsecond each. A list of ids may
have 1,000, and whoever sends more is to be told that."""


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What one document may hold; beyond any of it, the document is refused."""

    characters: int = 200_000
    tokens: int = MAX_QUERY_TOKENS
    """Lexical tokens; a JSON literal written into the document counts too."""
    comments: int = 1_000
    operations: int = 50
    depth: int = MAX_QUERY_DEPTH
    """Fields inside one another; the introspection query of GraphiQL has 15."""
    fields: int = 500
    """Fields of an operation after spreading its fragments."""
    root_fields: int = MAX_QUERY_ALIASES
    aliases: int = MAX_QUERY_ALIASES
    directives: int = 50
    repeats: int = 75
    """Fields that stand where one of the same name does already: validation compares each pair."""
    introspections: int = 5
    """`__schema` and `__type`, and the aliases below them."""
    name_characters: int = 128
    """Of one name: responses and errors repeat it."""


@dataclass(slots=True)
class _Size:
    """The measures of a selection set, its fragments spread."""

    depth: int = 0
    fields: int = 0
    root_fields: int = 0
    aliases: int = 0
    directives: int = 0
    introspections: int = 0
    variables: Counter[str] = field(default_factory=Counter)
    """How often each stands in an argument."""


_MEASURES: Final = ("depth", "fields", "root_fields", "aliases", "directives", "introspections")
_INTROSPECTION: Final = frozenset({"__schema", "__type"})


def check_limits(
    document: DocumentNode, limits: DocumentLimits
) -> Mapping[str | None, Mapping[str, int]]:
    """Return how often each operation uses each variable, if the document is within the bounds.

    Linear in the document's length: each fragment is measured once. A fragment that
    spreads itself counts nothing there; validation refuses it.

    Returns:
        By the operation's name, how often each variable stands in an argument with the
        fragments spread: a value is converted as often.

    Raises:
        GraphQLError: names the measure, what came and what is allowed.
    """
    _check_names(document, limits.name_characters)
    operations = [node for node in document.definitions if _is_operation(node)]
    if len(operations) > limits.operations:
        raise GraphQLError(_beyond("the document", "operations", len(operations), limits))
    measure = _Measure(document)
    used: dict[str | None, Mapping[str, int]] = {}
    # Unused fragments are measured too: validation visits them before it refuses them.
    for node in document.definitions:
        if not isinstance(node, OperationDefinitionNode | FragmentDefinitionNode):
            continue
        size = measure.of(node.selection_set)
        size.directives += len(node.directives or ())
        what = "operation" if isinstance(node, OperationDefinitionNode) else "fragment"
        for name in _MEASURES:
            came = getattr(size, name)
            if came > getattr(limits, name):
                raise GraphQLError(_beyond(f"the {what}", name, came, limits), node)
        if measure.repeats(node.selection_set, limits) > limits.repeats:
            raise GraphQLError(
                f"the {what} repeats fields more than {limits.repeats} times",
                node,
            )
        if isinstance(node, OperationDefinitionNode):
            used[node.name.value if node.name else None] = size.variables
            _check_defaults(node, size.variables)
    definitions = len(document.definitions)
    if definitions > limits.fields:
        raise GraphQLError(
            f"the document has {definitions} definitions, at most {limits.fields} are allowed"
        )
    return used


def _check_names(document: DocumentNode, most: int) -> None:
    assert document.loc is not None, "parsed with locations"
    # A string may hold such a run too; only then is it worth a look at each token.
    if not re.search(rf"\w{{{most + 1}}}", document.loc.source.body, re.ASCII):
        return
    token = document.loc.start_token
    while token.next is not None:
        if token.kind is TokenKind.NAME and len(token.value or "") > most:
            raise GraphQLError(
                f"a name has {len(token.value or '')} characters, at most {most} are allowed",
                source=document.loc.source,
                positions=[token.start],
            )
        token = token.next


def _check_defaults(operation: OperationDefinitionNode, used: Mapping[str, int]) -> None:
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        uses = used.get(name, 0)
        if uses < 2 or definition.default_value is None:
            continue  # The document's own bounds are enough for what is coerced once.
        inputs = sum(
            isinstance(node, ObjectValueNode) or len(getattr(node, "values", ()))
            for node in _nodes(definition.default_value)
        )
        if inputs * uses > MAX_INPUTS:
            raise GraphQLError(
                f"the default of ${name} has {inputs} input objects and list items and is used "
                f"{uses} times; at most {MAX_INPUTS} are allowed, counted once per use",
                definition,
            )


def _nodes(value: Node) -> Iterator[Node]:
    """The value and all values inside it."""
    waiting: list[Node] = [value]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ListValueNode):
            waiting.extend(node.values)
        elif isinstance(node, ObjectValueNode):
            waiting.extend(one.value for one in node.fields)


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
                for argument in selection.arguments or ():
                    size.variables.update(
                        node.name.value
                        for node in _nodes(argument.value)
                        if isinstance(node, VariableNode)
                    )
                inner = self.of(selection.selection_set) if selection.selection_set else _Size()
                self._add(size, inner, below=1)
                if selection.name.value in _INTROSPECTION:
                    size.introspections += 1 + inner.aliases
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
        size.introspections += inner.introspections
        size.variables += inner.variables
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

    def repeats(self, selection_set: SelectionSetNode, limits: DocumentLimits) -> int:
        """Return how many fields stand where one of the same name does, merged as they will be.

        Counts no further than the limit, and no more fields than are allowed: only a
        fragment that spreads itself has more.
        """
        repeats = fields = 0
        waiting = [[selection_set]]
        while waiting and repeats <= limits.repeats and fields <= limits.fields:
            merged = waiting.pop()
            below: dict[str, list[SelectionSetNode]] = {}
            for selection in self._fields(merged):
                fields += 1
                name = (selection.alias or selection.name).value
                repeats += name in below
                inner = below.setdefault(name, [])
                if selection.selection_set:
                    inner.append(selection.selection_set)
            waiting.extend(inner for inner in below.values() if inner)
        return repeats

    def _fields(self, merged: list[SelectionSetNode]) -> Iterator[FieldNode]:
        """The fields of selection sets, their fragments spread once each."""
        spread: set[str] = set()
        waiting: list[SelectionNode] = [one for each in merged for one in each.selections]
        while waiting:
            selection = waiting.pop()
            if isinstance(selection, FieldNode):
                yield selection
            elif isinstance(selection, InlineFragmentNode):
                waiting.extend(selection.selection_set.selections)
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name in self._fragments and name not in spread:
                    spread.add(name)
                    waiting.extend(self._fragments[name].selection_set.selections)
