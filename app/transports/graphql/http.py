"""GraphQL over HTTP: POST and GET, one response or a stream.

https://graphql.github.io/graphql-over-http/draft/. Only `application/json` bodies are read
and a GET only queries, so that no page of another origin can mutate without a preflight.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias

from graphql import OperationType
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.defaults import MAX_ANONYMOUS_BYTES, MAX_OUTBOUND_BYTES, MAX_REQUEST_BYTES, MAX_STREAMS
from app.domain.json_value import encode_json
from app.domain.viewer import Viewer
from app.engine.documents import Operation
from app.engine.errors import RequestRefused, ResponseError, response_error
from app.engine.execution import Executor, Subscription
from app.errors import (
    BadUserInput,
    ErrorCode,
    PayloadTooLarge,
    RateLimited,
    ShuttingDown,
    TokenExpired,
    Unauthenticated,
    Unavailable,
    shown,
)
from app.telemetry.counters import COUNTED
from app.transports.auth.authenticator import viewer_with_keys
from app.transports.auth.bearer import bearer_token
from app.transports.client_tokens import client_header_token
from app.transports.expiry import Expiry
from app.transports.graphql.context import ContextFactory, ViewerOf
from app.transports.graphql.negotiation import MediaType, Preferences
from app.transports.graphql.parameters import Parameters, read_body
from app.transports.graphql.request_fields import (
    accepted,
    check_declared_length,
    unsupported_content,
)
from app.transports.graphql.revalidation import Revalidated
from app.transports.graphql.streams import EventStreamFraming, SubscriptionStream
from app.transports.refusals import log_refused_token
from app.wire.outcomes import outcome_of
from app.wire.peer import peer_of
from app.wire.stream import STREAM, Streaming
from app.wire.watched import WATCHED, WatchedRequest

__all__ = ["GraphQLHttp", "HttpLimits", "Landing"]

Landing: TypeAlias = Callable[[Request], Awaitable[Response]]
"""The page for a browser that opens the endpoint."""

_ASKING: Final = (b"query=", b"documentId=", b"extensions=")
"""Where a GET may have a document, or the id of one."""
_CONTENT_TYPES: Final = {one: f"{one.value}; charset=utf-8".encode() for one in MediaType}


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """The bounds of the endpoint."""

    max_body_bytes: int = MAX_REQUEST_BYTES
    """A longer body is answered with 413."""
    max_anonymous_bytes: int = MAX_ANONYMOUS_BYTES
    """The same of a client without a token."""
    heartbeat_seconds: float = 12.0
    """Silence of a stream after which a heartbeat is sent."""
    max_outbound_bytes: int = MAX_OUTBOUND_BYTES
    """What may wait for the reader of a stream; more, and it ends so that its client comes back."""
    max_streams: int = MAX_STREAMS
    """Subscriptions over HTTP at once; more are refused with 503."""


class GraphQLHttp:
    """The ASGI application at `/graphql` for HTTP requests.

    Args:
        executor: of the schema.
        viewer_of: turns the tokens of the headers into a viewer.
        context_factory: makes a context a request, closed at its end.
        landing: answers a browser's GET without a query; None: refused like any such GET.
        limits: the bounds.
    """

    def __init__(
        self,
        executor: Executor,
        viewer_of: ViewerOf,
        context_factory: ContextFactory,
        *,
        landing: Landing | None = None,
        limits: HttpLimits | None = None,
    ) -> None:
        self._executor = executor
        self._viewer_of = viewer_of
        self._context_factory = context_factory
        self._landing = landing
        self._limits = limits or HttpLimits()
        self._streams: set[SubscriptionStream] = set()
        self._joining = 0
        """Subscriptions that will be streams: in an outage they wait for half a minute."""
        self._shutting_down = False

    def shutdown(self) -> None:
        """End every stream so that its client comes back, and begin no more. Idempotent."""
        self._shutting_down = True
        for stream in tuple(self._streams):
            stream.interrupt(ShuttingDown())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        except Exception as error:
            response = _error_response(error)
        try:
            await response(scope, receive, send)
        except OSError:
            return  # The client is gone.
        except Exception as error:
            told = _error_response(error)
            with suppress(Exception):  # An answer has begun: the server breaks it off.
                await told(scope, receive, send)

    async def _respond(self, request: Request) -> ASGIApp:
        preferences = Preferences.of(accepted(request.headers))
        if (
            self._landing is not None
            and request.method in {"GET", "HEAD"}
            and preferences.html()
            and not _asks(request.scope["query_string"])
        ):
            return await self._landing(request)
        if request.method not in {"GET", "POST"}:
            return _refusal(
                405,
                f"the method is {shown(request.method)}; allowed are GET and POST",
                allow="GET, POST",
            )
        try:
            if request.method == "GET":
                viewer = await self._viewer(request)
                parameters = Parameters.of_query_string(request.scope["query_string"])
            else:
                unsupported = unsupported_content(request.headers)
                if unsupported:
                    return _refusal(415, unsupported)
                viewer = await self._viewer(request)
                most = self._limits.max_body_bytes
                if viewer.anonymous:
                    most = min(most, self._limits.max_anonymous_bytes)
                check_declared_length(request.headers, most)
                body = await read_body(request.stream(), most)
                parameters = Parameters.of_body(body)
        except RecursionError:
            return _error_response(BadUserInput("the request is nested too deeply"))
        answer = await self._operate(request, preferences, viewer, parameters)
        if request.method == "GET" and isinstance(answer, _Answer):
            return answer.revalidated(request.headers)
        return answer

    async def _viewer(self, request: Request) -> Viewer:
        try:
            return await viewer_with_keys(
                self._viewer_of,
                bearer_token(request.headers.get("authorization")),
                client_header_token(request.headers),
            )
        except Unauthenticated as error:
            log_refused_token(error, peer_of(request.scope))
            raise

    async def _operate(
        self,
        request: Request,
        preferences: Preferences,
        viewer: Viewer,
        parameters: Parameters,
    ) -> ASGIApp:
        media_type = preferences.one_response()
        if media_type is None and preferences.stream() is None:
            return _refusal(
                406, f"the Accept header allows nothing we have: {', '.join(MediaType)}"
            )
        try:
            watched: WatchedRequest | None = request.scope.get("extensions", {}).get(WATCHED)
            operation = self._executor.prepare(*parameters.asked)
            if watched is not None:
                watched.operation = operation.name
            if operation.kind is OperationType.SUBSCRIPTION:
                return await self._subscribe(request, operation, preferences, viewer, parameters)
            if request.method == "GET" and operation.kind is OperationType.MUTATION:
                return _refusal(405, "a mutation came with GET; send it with POST", allow="POST")
            if media_type is None:
                return _refusal(406, "multipart/mixed is for subscriptions; accept JSON as well")
            context = self._context_factory(viewer, False, peer_of(request.scope))
            try:
                payload = await self._executor.execute(operation, parameters.variables, context)
            finally:
                context.close()
        except RequestRefused as refused:
            payload = encode_json({"errors": refused.errors})
            # Before there was `application/graphql-response+json`, every well-formed request
            # was answered with 200; clients that ask for `application/json` expect it.
            status = 400 if media_type is MediaType.GRAPHQL_JSON else 200
            return _one_response(payload, media_type or MediaType.JSON, status)
        return _one_response(payload, media_type, 200, context.private)

    async def _subscribe(
        self,
        request: Request,
        operation: Operation,
        preferences: Preferences,
        viewer: Viewer,
        parameters: Parameters,
    ) -> ASGIApp:
        media_type = preferences.stream()
        if media_type is None:
            return _refusal(
                406,
                "a subscription is answered as text/event-stream or multipart/mixed; "
                "accept one of them, or use a WebSocket",
            )
        if self._shutting_down:
            return _error_response(ShuttingDown())
        streaming: Streaming | None = request.scope.get("extensions", {}).get(STREAM)
        if streaming is not None and not streaming.take_place():
            return _error_response(RateLimited("too many connections from this address"))
        if len(self._streams) + self._joining >= self._limits.max_streams:
            COUNTED.refusals["limit"] += 1
            return _error_response(
                Unavailable("too many subscriptions over HTTP are open; retry later")
            )
        context = self._context_factory(viewer, True, peer_of(request.scope))
        if media_type is MediaType.EVENT_STREAM:
            context.resume_after = request.headers.get("last-event-id") or None
        accepted_at = time.time()
        self._joining += 1
        try:
            subscription = await _unless_gone(
                request, self._executor.subscribe(operation, parameters.variables, context)
            )
        except BaseException:
            context.close()
            raise
        finally:
            self._joining -= 1

        def on_end(ended: SubscriptionStream) -> None:
            self._streams.discard(ended)
            expiry.cancel()
            context.close()

        stream = SubscriptionStream(
            subscription,
            media_type,
            heartbeat_seconds=self._limits.heartbeat_seconds,
            max_outbound_bytes=self._limits.max_outbound_bytes,
            on_end=on_end,
        )
        # The client comes back with a new token, or learns that its old one is no longer good.
        expired = TokenExpired("the token has expired")
        expiry = Expiry(viewer, lambda: stream.interrupt(expired), accepted_at=accepted_at)
        self._begin(stream)
        return stream

    def _begin(self, stream: SubscriptionStream) -> None:
        self._streams.add(stream)
        if self._shutting_down:
            # Since the subscription was asked for.
            stream.interrupt(ShuttingDown())


async def _unless_gone(request: Request, subscribing: Awaitable[Subscription]) -> Subscription:
    """Return what is waited for, or end that when the client hangs up.

    Raises:
        ClientDisconnect: it has.
    """
    loop = asyncio.get_running_loop()
    waiting = asyncio.timeout(None)

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass  # the body of a GET
        waiting.reschedule(loop.time())

    try:
        async with waiting:
            watching = loop.create_task(watch(), name="client of a stream")
            try:
                return await subscribing
            finally:
                watching.cancel()
    except TimeoutError:
        if waiting.expired():
            raise ClientDisconnect from None
        raise


def _asks(query_string: bytes) -> bool:
    """Return whether a GET has a document; its parameters are read, and bounded, later."""
    return any(part.startswith(_ASKING) for part in query_string.split(b"&"))


def _one_response(
    payload: bytes, media_type: MediaType, status: int, private: bool = False
) -> ASGIApp:
    if media_type is MediaType.EVENT_STREAM:
        framing = EventStreamFraming()
        kept = "no-store" if private else "no-cache"
        return Response(
            framing.payload(payload) + framing.completed,
            headers={"content-type": framing.content_type, "cache-control": kept},
        )
    return _Answer(payload, media_type, status, private)


class _Answer:
    """The response that nearly every request ends with: Starlette's, without its costs."""

    __slots__ = ("_media_type", "_payload", "_private", "_status")

    def __init__(self, payload: bytes, media_type: MediaType, status: int, private: bool) -> None:
        self._payload = payload
        self._media_type = media_type
        self._status = status
        self._private = private

    def revalidated(self, headers: Headers) -> ASGIApp:
        """Return the answer to a GET: its client may have it already.

        Args:
            headers: of the request.
        """
        if self._status != HTTPStatus.OK or self._private:
            return self
        content_type = _CONTENT_TYPES[self._media_type]
        return Revalidated(self._payload, self._media_type, content_type, headers)

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", _CONTENT_TYPES[self._media_type]),
            (b"content-length", b"%d" % len(self._payload)),
            (b"vary", b"Accept"),
        ]
        if self._private:
            headers.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._payload})


def _error_response(error: Exception) -> Response:
    outcome = outcome_of(error)
    headers = outcome.headers
    if isinstance(error, PayloadTooLarge):
        # The rest of the body is not read, so that the connection cannot be used again.
        headers["connection"] = "close"
    return _errors([response_error(error)], outcome.status, headers)


def _refusal(status: int, message: str, *, allow: str | None = None) -> Response:
    """Refuse what HTTP has a status for and our errors have not."""
    code = ErrorCode.BAD_USER_INPUT.value
    headers = {"allow": allow} if allow else {}
    return _errors([{"message": message, "extensions": {"code": code}}], status, headers)


def _errors(errors: list[ResponseError], status: int, headers: dict[str, str]) -> Response:
    # As `application/json`: what is wrong may be the Accept header itself.
    return Response(
        encode_json({"errors": errors}),
        status,
        headers={"content-type": "application/json; charset=utf-8", **headers},
    )
