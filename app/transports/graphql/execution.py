"""Executing prepared operations: from an operation and its variables to response bytes.

graphql-core executes the schema that Strawberry has built, with Strawberry's executor
class; Strawberry's own `execute` would parse, validate and wrap again on every call.
Responses leave as the bytes of their JSON, so that a transport only puts its own frame
around them and the same payload can go to many.
"""

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import strawberry
from graphql import (
    ExecutionResult,
    OperationType,
    create_source_event_stream,
    execute_root_selection_set,
    execute_subscription_event,
)
from graphql.execution import Executor as CoreExecutor

from app.domain.json_value import encode_json
from app.transports.graphql.documents import Documents, Operation
from app.transports.graphql.errors import (
    RequestRefused,
    response_error,
    response_errors,
)
from app.transports.graphql.limits import DocumentLimits
from app.transports.graphql.variables import plain_numbers

__all__ = ["Executor", "Payloads", "encode_response"]

_REPORTS_CHANGES: Final = frozenset({"liveMessages"})
"""Subscription fields that must stay silent while their result stays the same."""


@dataclass(frozen=True, slots=True)
class Executor:
    """Executes operations of one schema. Stateless but for its cache of documents."""

    schema: strawberry.Schema
    documents: Documents

    @classmethod
    def of(cls, schema: strawberry.Schema, limits: DocumentLimits | None = None) -> "Executor":
        """Return an executor with an empty cache.

        Args:
            schema: what `app.schema.build_schema` returns.
            limits: what a document may hold.
        """
        return cls(schema, Documents(schema, limits))

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
        executor = self._executor(operation, variables, context)
        source = create_source_event_stream(executor)
        if not hasattr(source, "__aiter__") and not isinstance(source, ExecutionResult):
            source = await source
        if isinstance(source, ExecutionResult):
            raise RequestRefused(response_errors(source.errors or ()))
        return Payloads(
            executor,
            cast("AsyncIterable[Any]", source),
            changes_only=operation.root_field in _REPORTS_CHANGES,
        )

    def _executor(
        self, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> "CoreExecutor[Any]":
        executor = self.schema.execution_context_class.build(
            self.schema._schema,
            operation.document,
            context_value=context,
            raw_variable_values=plain_numbers(variables, operation.variable_types),
            operation_name=operation.name,
        )
        if isinstance(executor, list):
            raise RequestRefused(response_errors(executor))
        return executor


class Payloads:
    """A subscription's responses as JSON text. Close it in every case, begun or not.

    Iterating raises what the source raised: `response_error` makes it fit to be told.
    """

    # A class and not a generator: closing a generator that never ran runs no `finally`.

    __slots__ = ("_changes_only", "_executor", "_last", "_source")

    def __init__(
        self, executor: "CoreExecutor[Any]", source: AsyncIterable[Any], *, changes_only: bool
    ) -> None:
        self._executor = executor
        self._source = aiter(source)
        self._changes_only = changes_only
        self._last = b""

    def __aiter__(self) -> "Payloads":
        return self

    async def __anext__(self) -> bytes:
        while True:
            event = await anext(self._source)
            result = execute_subscription_event(self._executor.build_per_event_executor(event))
            if not isinstance(result, ExecutionResult):
                result = await result
            payload = encode_response(result)
            if not self._changes_only:
                return payload
            if payload != self._last:
                self._last = payload
                return payload

    async def aclose(self) -> None:
        """End the source. Idempotent."""
        aclose = getattr(self._source, "aclose", None)
        if aclose is not None:
            await aclose()


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
