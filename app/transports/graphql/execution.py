"""Executing prepared operations: from an operation and its variables to response bytes.

graphql-core executes the schema that Strawberry has built, with Strawberry's executor
class; Strawberry's own `execute` would parse, validate and wrap again on every call.
Responses leave as the bytes of their JSON, so that a transport only puts its own frame
around them and the same payload can go to many.
"""

from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast
from weakref import WeakValueDictionary

import strawberry
from graphql import (
    DocumentNode,
    ExecutionResult,
    OperationType,
    create_source_event_stream,
    execute_root_selection_set,
    execute_subscription_event,
)
from graphql.execution import Executor as CoreExecutor

from app.defaults import DOCUMENT_CACHE_SIZE
from app.delivery.members import Member
from app.domain.json_value import encode_json
from app.domain.message import Message
from app.services.message_stream import MessageStream
from app.transports.graphql.direct import Resolvers, publish_directly, subscribe_directly
from app.transports.graphql.documents import Documents, Operation
from app.transports.graphql.errors import (
    MAX_ERRORS,
    RequestRefused,
    response_error,
    response_errors,
)
from app.transports.graphql.limits import DocumentLimits
from app.transports.graphql.variables import bounded_variables

__all__ = ["Encoding", "Encodings", "Executor", "Payloads", "encode_response"]

_REPORTS_CHANGES: Final = frozenset({"liveMessages"})
"""Subscription fields that must stay silent while their result stays the same."""

_Respond: TypeAlias = Callable[[Any], bytes | Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Executor:
    """Executes operations of one schema. Stateless but for its cache of documents."""

    schema: strawberry.Schema
    documents: Documents
    encodings: "Encodings"
    resolvers: Resolvers | None = None

    @classmethod
    def of(
        cls,
        schema: strawberry.Schema,
        limits: DocumentLimits | None = None,
        document_cache_size: int = DOCUMENT_CACHE_SIZE,
        resolvers: Resolvers | None = None,
    ) -> "Executor":
        """Return an executor with an empty cache.

        Args:
            schema: what `app.schema.build_schema` returns.
            limits: what a document may hold.
            document_cache_size: documents kept at most.
            resolvers: what fields of the schema do, to do it without the engine where an
                operation is of the ordinary form; None: all goes through the engine.
        """
        return cls(schema, Documents(schema, limits, document_cache_size), Encodings(), resolvers)

    def prepare(self, query: str, operation_name: str | None = None) -> Operation:
        """Return the operation a request asks for.

        Raises:
            RequestRefused: see `Documents.prepare`.
        """
        return self.documents.prepare(query, operation_name)

    async def execute(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> bytes:
        """Execute a query or a mutation and return the JSON text of its response.

        Errors of fields are in the response; nothing else is raised.

        Args:
            operation: not a subscription.
            variables: as `decode_json` gives them.
            context: what resolvers get as `info.context`.

        Raises:
            RequestRefused: the variables do not fit; nothing was executed.
        """
        assert operation.kind is not OperationType.SUBSCRIPTION
        if self.resolvers is not None and operation.direct is not None:
            arguments = operation.direct.arguments(variables)
            if arguments is not None:
                return await publish_directly(self.resolvers, operation.direct, arguments, context)
        executor = self._executor(operation, variables, context)
        result = execute_root_selection_set(executor)
        if not isinstance(result, ExecutionResult):
            result = await result
        return encode_response(result)

    async def subscribe(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> "Payloads":
        """Begin a subscription: when this returns, it has joined and misses nothing.

        Args:
            operation: a subscription.
            variables: as `decode_json` gives them.
            context: what resolvers get as `info.context`.

        Raises:
            RequestRefused: the variables do not fit, or the resolver refused.
        """
        assert operation.kind is OperationType.SUBSCRIPTION
        source, encode = await self._begin(operation, variables, context)
        key = None if operation.sharing is None else operation.sharing.key(variables)
        return Payloads(
            encode if key is None else self.encodings.shared(key, encode),
            source,
            key=key,
            changes_only=operation.root_field in _REPORTS_CHANGES,
        )

    async def _begin(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> "tuple[AsyncIterable[Any], Encoding]":
        direct = operation.direct
        if self.resolvers is not None and direct is not None:
            arguments = direct.arguments(variables)
            if arguments is not None:
                stream = await subscribe_directly(self.resolvers, direct, arguments, context)
                return stream, Encoding(direct.projection)
        executor = self._executor(operation, variables, context)
        source = create_source_event_stream(executor)
        if not hasattr(source, "__aiter__") and not isinstance(source, ExecutionResult):
            source = await source
        if isinstance(source, ExecutionResult):
            raise RequestRefused(response_errors(source.errors or ()))
        respond = operation.projection or self._responder(operation, variables, context)
        return cast("AsyncIterable[Any]", source), Encoding(respond)

    def _responder(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> _Respond:
        """Return how the engine answers events: without what only began the subscription."""
        assert operation.responding is not None, "a subscription"
        needed = operation.responding.needed(variables)
        return _engine(self._executor(operation, needed, context, operation.responding.document))

    def _executor(
        self,
        operation: Operation,
        variables: Mapping[str, Any],
        context: object,
        document: DocumentNode | None = None,
    ) -> "CoreExecutor[Any]":
        executor = self.schema.execution_context_class.build(
            self.schema._schema,
            document or operation.document,
            context_value=context,
            raw_variable_values=bounded_variables(
                variables, operation.variable_types, operation.variable_uses
            ),
            operation_name=operation.name,
            max_coercion_errors=MAX_ERRORS - 1,
        )
        if isinstance(executor, list):
            raise RequestRefused(response_errors(executor))
        return executor


class Payloads:
    """A subscription's responses as JSON text. Close it in every case, begun or not.

    Iterating raises what the source raised: `response_error` makes it fit to be told.
    """

    # A class and not a generator: closing a generator that never ran runs no `finally`.

    __slots__ = ("_changes_only", "_encode", "_key", "_last", "_source")

    def __init__(
        self,
        encode: "Encoding",
        source: AsyncIterable[Any],
        *,
        key: Hashable | None,
        changes_only: bool,
    ) -> None:
        self._encode = encode
        self._source = aiter(source)
        self._key = key
        self._changes_only = changes_only
        self._last = b""

    def __aiter__(self) -> "Payloads":
        return self

    async def __anext__(self) -> bytes:
        while True:
            event = await anext(self._source)
            payload = await self._encode.whole(event)
            if not self._changes_only:
                return payload
            if payload != self._last:
                self._last = payload
                return payload

    @property
    def shareable(self) -> bool:
        """Whether a group can go on from here: the same for all who asked for the same."""
        return (
            self._key is not None
            and isinstance(self._source, MessageStream)
            and self._source.settled
        )

    def hand_over(self, member: Member) -> Callable[[], None]:
        """Let a group give `member` the responses from here on; return what ends that."""
        assert isinstance(self._source, MessageStream)
        assert self._key is not None
        return self._source.hand_over(self._key, self._encode, member)

    async def aclose(self) -> None:
        """End the source. Idempotent."""
        aclose = getattr(self._source, "aclose", None)
        if aclose is not None:
            await aclose()


def _engine(executor: "CoreExecutor[Any]") -> _Respond:
    """Return what lets the engine answer events."""

    def respond(event: Any) -> bytes | Awaitable[bytes]:
        result = execute_subscription_event(executor.build_per_event_executor(event))
        return encode_response(result) if isinstance(result, ExecutionResult) else awaited(result)

    async def awaited(result: Awaitable[ExecutionResult]) -> bytes:
        return encode_response(await result)

    return respond


class Encoding:
    """From an event to its response, made once for all who share it.

    Args:
        respond: makes the JSON text of an event's response.
    """

    __slots__ = ("__weakref__", "_event", "_payload", "_respond")

    def __init__(self, respond: _Respond) -> None:
        self._respond = respond
        self._event: object = None
        self._payload = b""

    def __call__(self, message: Message) -> bytes:
        """Return the response to a message: its fields are resolved without waiting."""
        if message is not self._event:
            payload = self._respond(message)
            assert isinstance(payload, bytes)
            self._event, self._payload = message, payload
        return self._payload

    async def whole(self, event: object) -> bytes:
        """Return the response to any event."""
        if isinstance(event, Message):
            return self(event)
        payload = self._respond(event)
        return payload if isinstance(payload, bytes) else await payload


class Encodings:
    """The encodings in use, by what they share."""

    def __init__(self) -> None:
        self._in_use: WeakValueDictionary[Hashable, Encoding] = WeakValueDictionary()

    def shared(self, key: Hashable, encoding: Encoding) -> Encoding:
        """Return the encoding in use for `key`, or else this one from now on."""
        return self._in_use.setdefault(key, encoding)


def encode_response(result: ExecutionResult) -> bytes:
    """Return the JSON text of a response; one that has no JSON is masked as our mistake."""
    response: dict[str, Any] = {"data": result.data}
    if result.errors:
        # First, so that a person sees them: https://spec.graphql.org/draft/#sec-Response-Format
        response = {"errors": response_errors(result.errors), **response}
    try:
        return encode_json(response)
    except (TypeError, ValueError) as error:
        return encode_json({"errors": [response_error(error)], "data": None})
