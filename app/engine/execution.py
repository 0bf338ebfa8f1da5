"""Executing prepared operations: from an operation and its variables to response bytes.

graphql-core executes the schema that Strawberry has built, with Strawberry's executor
class; Strawberry's own `execute` would parse, validate and wrap again on every call.
Responses leave as the bytes of their JSON, so that a transport only puts its own frame
around them and the same payload can go to many.
"""

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
from app.engine.asking import AskedQueries
from app.engine.cursors import with_cursors
from app.engine.direct import (
    Resolvers,
    publish_directly,
    search_directly,
    subscribe_directly,
)
from app.engine.documents import Documents, Operation
from app.engine.errors import (
    MAX_ERRORS,
    RequestRefused,
    response_error,
    response_errors,
)
from app.engine.known_documents import KnownDocuments
from app.engine.limits import DocumentLimits
from app.engine.reading import ReadingFailedError
from app.engine.results import HasScope
from app.engine.variables import bounded_variables
from app.errors import WidgetwireError
from app.services.live.source import Respond, Source
from app.telemetry.traces import TRACES

if TYPE_CHECKING:
    from app.telemetry.recorder import TraceRecorder

__all__ = ["Executor", "Subscription", "encode_response"]


@dataclass(frozen=True, slots=True)
class Executor:
    """Executes operations of one schema. Stateless but for what it keeps of documents."""

    schema: strawberry.Schema
    documents: KnownDocuments
    resolvers: Resolvers | None = None
    queries: AskedQueries = field(default_factory=AskedQueries)
    suggests: bool = True
    """Whether errors suggest names of the schema."""

    @classmethod
    def of(
        cls,
        schema: strawberry.Schema,
        limits: DocumentLimits | None = None,
        document_cache_size: int = DOCUMENT_CACHE_SIZE,
        resolvers: Resolvers | None = None,
        *,
        introspection: bool = True,
        listed: Mapping[str, str] | None = None,
        only_listed: bool = False,
    ) -> "Executor":
        """Return an executor with an empty cache.

        Args:
            schema: what `app.schema.build_schema` returns.
            limits: what a document may hold.
            document_cache_size: documents kept at most.
            resolvers: what fields of the schema do, to do it without the engine where an
                operation is of the ordinary form; None: all goes through the engine.
            introspection: whether clients may learn of the schema what they do not know.
            listed: see `KnownDocuments`.
            only_listed: see there.

        Raises:
            ConfigurationError: see there.
        """
        documents = Documents(schema, limits, document_cache_size, introspection=introspection)
        known = KnownDocuments(documents, listed, only_listed=only_listed)
        return cls(schema, known, resolvers, suggests=introspection)

    def prepare(
        self,
        query: str | None,
        operation_name: str | None = None,
        document_id: str | None = None,
    ) -> Operation:
        """Return the operation a request asks for.

        Raises:
            RequestRefused: see `KnownDocuments.prepare`.
        """
        return self.documents.prepare(query, operation_name, document_id)

    # Plain functions where nothing is traced: a coroutine around another one costs each publish.

    def execute(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> Coroutine[Any, Any, bytes]:
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
        executing = self._execute(operation, variables, context)
        recorder = TRACES.recorder
        return executing if recorder is None else _executed(recorder, operation, executing)

    async def _execute(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> bytes:
        if self.resolvers is not None and operation.direct is not None:
            arguments = operation.direct.arguments(variables)
            if arguments is not None:
                return await publish_directly(self.resolvers, operation.direct, arguments, context)
        if self.resolvers is not None and operation.asking is not None:
            asked = self.queries.asked(operation.asking, variables)
            if asked is not None:
                try:
                    return await search_directly(self.resolvers, operation.asking, *asked, context)
                except ReadingFailedError as failed:
                    context = self.resolvers.searched(context, failed.search)
                except WidgetwireError:
                    pass  # The engine says it: nothing was read.
        executor = self._executor(operation, variables, context)
        result = execute_root_selection_set(executor)
        if not isinstance(result, ExecutionResult):
            result = await result
        return encode_response(result)

    def subscribe(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> Coroutine[Any, Any, "Subscription"]:
        """Join what a subscription listens to: when this returns, it misses nothing.

        Args:
            operation: a subscription.
            variables: as `decode_json` gives them.
            context: what resolvers get as `info.context`.

        Raises:
            RequestRefused: the variables do not fit, or the resolver refused.
        """
        joining = self._subscribe(operation, variables, context)
        recorder = TRACES.recorder
        return joining if recorder is None else _joined(recorder, operation, joining)

    async def _subscribe(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> "Subscription":
        assert operation.sharing is not None, "a subscription"
        key = operation.sharing.key(variables)
        direct = operation.direct
        if self.resolvers is not None and direct is not None:
            arguments = direct.arguments(variables)
            if arguments is not None:
                joined = await subscribe_directly(self.resolvers, direct, arguments, context)
                return Subscription(joined, key, direct.projection)
        executor = self._executor(operation, variables, context)
        # Whatever may be refused comes before the source that would have to be closed.
        respond = (
            operation.projection
            or self._event_responder(operation, variables, context)
            or self._result_responder(operation, variables, context)
            or self._responder(operation, variables, context)
        )
        source: Any = create_source_event_stream(executor)
        if not isinstance(source, Source | ExecutionResult):
            source = await source
        if isinstance(source, ExecutionResult):
            raise RequestRefused(response_errors(source.errors or ()))
        return Subscription(source, key, respond)

    def _event_responder(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> Respond | None:
        """Return how a channel's events are answered without the engine, if they can be."""
        if operation.event_projection is None:
            return None
        return operation.event_projection.or_by(self._responder(operation, variables, context))

    def _result_responder(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> Respond | None:
        """Return how live results are answered without the engine, if they can be."""
        if self.resolvers is None or operation.asking is None:
            return None
        asked = operation.asking.asked(operation.asking.given(variables))
        if asked is None:
            return None
        result, inner = operation.asking.result, asked.inner
        engine = self._responder(operation, variables, context)

        async def respond(event: HasScope) -> bytes:
            try:
                return await result(event.scope, inner)
            except ReadingFailedError:
                payload = engine(event)
                return payload if isinstance(payload, bytes) else await payload

        return respond

    def _responder(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> Respond:
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
                variables,
                operation.variable_types,
                operation.variable_uses,
                suggests=self.suggests,
            ),
            operation_name=operation.name,
            max_coercion_errors=MAX_ERRORS - 1,
            hide_suggestions=not self.suggests,
        )
        if isinstance(executor, list):
            raise RequestRefused(response_errors(executor))
        return executor


class Subscription:
    """A subscription that has joined. Begin it or close it."""

    __slots__ = ("_key", "_respond", "_source")

    def __init__(self, source: Source, key: Hashable, respond: Respond) -> None:
        self._source = source
        self._key = key
        self._respond = respond

    async def begin(self, member: Member, *, cursors: bool = False) -> Callable[[], None]:
        """Give a member its responses from now on; return what ends that. See `Source.begin`.

        Args:
            member: a new one.
            cursors: whether each payload tells its cursor, see `CursoredPayload`.
        """
        if cursors:
            key = self._key, "with cursors"
            return await self._source.begin(key, with_cursors(self._respond), member)
        return await self._source.begin(self._key, self._respond, member)

    def close(self) -> None:
        """Let go of one that was never begun, or failed to. Idempotent."""
        self._source.close()


async def _executed(
    recorder: "TraceRecorder", operation: Operation, executing: Awaitable[bytes]
) -> bytes:
    with recorder.operation(operation.kind.value, operation.name) as recorded:
        payload = await executing
        recorded.answered(payload)
        return payload


async def _joined(
    recorder: "TraceRecorder", operation: Operation, joining: Awaitable[Subscription]
) -> Subscription:
    # Until it has joined: what it receives is of those who publish.
    with recorder.operation(operation.kind.value, operation.name):
        return await joining


def _engine(executor: "CoreExecutor[Any]") -> Respond:
    """Return what lets the engine answer events."""

    def respond(event: Any) -> bytes | Awaitable[bytes]:
        result = execute_subscription_event(executor.build_per_event_executor(event))
        return encode_response(result) if isinstance(result, ExecutionResult) else awaited(result)

    async def awaited(result: Awaitable[ExecutionResult]) -> bytes:
        return encode_response(await result)

    return respond


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
