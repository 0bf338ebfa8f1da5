"""Documents: text in, operations ready to execute out, the costly steps done once.

A client sends the same few documents again and again, so parsed and validated ones are
kept, by their text or by the id that they are known by. Runs on the event loop only; nothing
here awaits.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Final

import strawberry
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
    specified_rules,
    type_from_ast,
    validate,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from app.defaults import DOCUMENT_CACHE_SIZE
from app.engine.asking import QueryField
from app.engine.direct import DirectField
from app.engine.errors import MAX_ERRORS, RequestRefused, response_errors
from app.engine.event_projection import EventProjection
from app.engine.limits import DocumentLimits, check_limits
from app.engine.places import keep_places_only
from app.engine.projection import Projection
from app.engine.responding import Responding
from app.engine.selections import Fragments
from app.engine.sharing import Sharing, document_digest
from app.errors import ErrorCode, shown

__all__ = ["Document", "Documents", "Operation"]

_RULES: Final = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
"""GraphQL's own, and those that Strawberry adds."""
_MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
"""Of all kept documents; an ordinary one takes 10 to 50 KiB, eighty times its text."""
_NODE_BYTES: Final = 250
"""A node with its place, and what is compiled of it."""
_ASKING_NODE_BYTES: Final = 150
"""What is compiled of a node, of a search besides."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Operation:
    """One operation of one validated document, prepared once for all its executions.

    All that can be said of it beforehand is compiled into it, and goes with it when the
    document is no longer kept.
    """

    document: DocumentNode
    definition: OperationDefinitionNode
    name: str | None
    kind: OperationType
    root_field: str | None
    """The name of the first field; a subscription has no other."""
    variable_types: Mapping[str, GraphQLInputType] = field(repr=False)
    variable_uses: Mapping[str, int] = field(repr=False)
    """How often each variable stands in an argument, fragments spread."""
    direct: DirectField | None
    """The way without the engine; None: there is none."""
    asking: QueryField | None
    """The way of a search without the engine; for a live one, that of its responses."""
    projection: Projection | None
    """The way from a message to its response without the engine, for subscriptions."""
    event_projection: EventProjection | None
    """The same from an event of a channel."""
    sharing: Sharing | None
    """Which of its subscriptions are alike; None: it is none."""
    responding: Responding | None
    """What the engine answers the events of a subscription with; None: it is none."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed and validated document: its operations by their names."""

    operations: dict[str | None, Operation]
    held_bytes: int
    """What it takes in memory, roughly."""

    def operation(self, name: str | None = None) -> Operation:
        """Return the operation that a request asks for.

        Args:
            name: needed when there are several; the empty string counts as none.

        Raises:
            RequestRefused: there is no such operation.
        """
        operations = self.operations
        if name:
            if name not in operations:
                raise RequestRefused.of(
                    f"operationName: the document has no operation {shown(name)}",
                    ErrorCode.BAD_USER_INPUT,
                )
            return operations[name]
        if len(operations) > 1:
            raise RequestRefused.of(
                f"operationName: the document has {len(operations)} operations, name one",
                ErrorCode.BAD_USER_INPUT,
            )
        return next(iter(operations.values()))


class Documents:
    """A bounded cache of parsed and validated documents; the least recently used one goes.

    Args:
        schema: what the documents are validated against.
        limits: what a document may hold.
        cache_size: documents kept at most.
        introspection: whether they may ask for the schema, and errors suggest names of it.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        limits: DocumentLimits | None = None,
        cache_size: int = DOCUMENT_CACHE_SIZE,
        *,
        introspection: bool = True,
    ) -> None:
        self._schema: GraphQLSchema = schema._schema
        self._limits = limits or DocumentLimits()
        self._cache_size = cache_size
        self._suggests = introspection
        self._rules = _RULES if introspection else (*_RULES, NoSchemaIntrospectionCustomRule)
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._kept_bytes = 0

    def document(self, query: str, key: str | None = None) -> Document:
        """Return a document, read now or kept from before, and keep it.

        Args:
            query: its text.
            key: what it is kept by; None: its text.

        Raises:
            RequestRefused: as `read`.
        """
        key = query if key is None else key
        document = self._kept.get(key)
        if document is None:
            document = self.read(query)
            self._keep(key, document)
        else:
            self._kept.move_to_end(key)
        return document

    def kept(self, key: str) -> Document | None:
        """Return what is kept by a key; None: nothing, or not any more."""
        document = self._kept.get(key)
        if document is not None:
            self._kept.move_to_end(key)
        return document

    def _keep(self, key: str, document: Document) -> None:
        self._kept[key] = document
        self._kept_bytes += document.held_bytes
        while len(self._kept) > self._cache_size or self._kept_bytes > _MAX_KEPT_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.held_bytes

    def read(self, query: str) -> Document:
        """Parse, validate and compile a document, without keeping it.

        Raises:
            RequestRefused: it does not parse, is not valid or not within its bounds.
        """
        limits = self._limits
        try:
            document = parse(
                query,
                max_lexical_tokens=limits.tokens,
                max_comments=limits.comments,
                max_source_length=limits.characters,
            )
        except GraphQLSyntaxError as error:
            raise RequestRefused(
                response_errors([error], ErrorCode.GRAPHQL_PARSE_FAILED)
            ) from error
        except RecursionError as error:
            raise RequestRefused.of(
                "the document is nested too deeply", ErrorCode.GRAPHQL_PARSE_FAILED
            ) from error
        errors: list[GraphQLError]
        try:
            uses = check_limits(document, limits)
            # One less, for the word that there are more.
            errors = validate(
                self._schema,
                document,
                self._rules,
                max_errors=MAX_ERRORS - 1,
                hide_suggestions=not self._suggests,
            )
        except GraphQLError as error:
            errors = [error]
        except RecursionError as error:
            raise RequestRefused.of(
                "the document is nested too deeply", ErrorCode.GRAPHQL_VALIDATION_FAILED
            ) from error
        if errors:
            raise RequestRefused(response_errors(errors, ErrorCode.GRAPHQL_VALIDATION_FAILED))
        nodes = keep_places_only(document, query)
        digest = document_digest(query)
        fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        operations = {
            operation.name: operation
            for operation in (
                self._operation(document, definition, fragments, uses, digest)
                for definition in document.definitions
                if isinstance(definition, OperationDefinitionNode)
            )
        }
        if not operations:
            raise RequestRefused.of(
                "the document has no operation", ErrorCode.GRAPHQL_VALIDATION_FAILED
            )
        searches = any(one.asking is not None for one in operations.values())
        node_bytes = _NODE_BYTES + (_ASKING_NODE_BYTES if searches else 0)
        # The text is the key it is kept by; names and strings are in it, and in the nodes.
        return Document(operations, nodes * node_bytes + 2 * getsizeof(query))

    def _operation(
        self,
        document: DocumentNode,
        definition: OperationDefinitionNode,
        fragments: Fragments,
        uses: Mapping[str | None, Mapping[str, int]],
        digest: bytes,
    ) -> Operation:
        types: dict[str, GraphQLInputType] = {}
        for variable in definition.variable_definitions or ():
            # Validation has proven that it is the name of an input type.
            types[variable.variable.name.value] = type_from_ast(self._schema, variable.type)  # type: ignore[assignment]
        name = definition.name.value if definition.name else None
        root_field = _first_field(definition.selection_set, document)
        subscribes = definition.operation is OperationType.SUBSCRIPTION
        root_type = self._schema.subscription_type
        assert root_type is not None or not subscribes, "validated"
        messages = _only_field(definition, "messages")
        events = _only_field(definition, "channelEvents")
        return Operation(
            document=document,
            definition=definition,
            name=name,
            kind=definition.operation,
            root_field=root_field,
            variable_types=types,
            variable_uses=uses[name],
            direct=DirectField.of(definition),
            asking=QueryField.of(definition, fragments, uses[name], digest),
            projection=Projection.of(messages) if messages else None,
            event_projection=EventProjection.of(events, fragments) if events else None,
            sharing=Sharing.of(document, definition, digest) if subscribes else None,
            responding=(
                Responding.of(document, definition, root_type) if subscribes and root_type else None
            ),
        )


def _only_field(definition: OperationDefinitionNode, name: str) -> FieldNode | None:
    """Return the one root field of a subscription if it has that name and no directive."""
    root = definition.selection_set.selections[0]
    if (
        definition.operation is OperationType.SUBSCRIPTION
        and isinstance(root, FieldNode)
        and root.name.value == name
        and not root.directives
        and len(definition.selection_set.selections) == 1
    ):
        return root
    return None


def _first_field(selection_set: SelectionSetNode, document: DocumentNode) -> str | None:
    for selection in selection_set.selections:
        if isinstance(selection, FieldNode):
            return selection.name.value
        if isinstance(selection, InlineFragmentNode):
            return _first_field(selection.selection_set, document)
        if isinstance(selection, FragmentSpreadNode):
            for node in document.definitions:
                if (
                    isinstance(node, FragmentDefinitionNode)
                    and node.name.value == selection.name.value
                ):
                    return _first_field(node.selection_set, document)
    return None
