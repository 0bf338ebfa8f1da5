"""The ordinary GraphQL request: a POST of JSON that is answered with one response.

An `app.wire.exchange.Responder`: what it takes is answered without an ASGI call. Whatever else
is wrong than the operation, or out of the ordinary, is left to `GraphQLHttp`, which knows what
to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from graphql import OperationType
from starlette.datastructures import Headers

from app.defaults import MAX_ANONYMOUS_BYTES, MAX_REQUEST_BYTES
from app.domain.json_value import encode_json
from app.domain.viewer import Viewer
from app.engine.documents import Operation
from app.engine.errors import RequestRefused, ResponseError, response_error
from app.engine.execution import Executor
from app.transports.auth.bearer import bearer_token
from app.transports.client_tokens import client_header_token
from app.transports.graphql.context import ContextFactory, ViewerOf
from app.transports.graphql.negotiation import MediaType, Preferences
from app.transports.graphql.parameters import Parameters
from app.transports.graphql.request_fields import accepted, unsupported_content
from app.transports.origins import OriginPolicy
from app.wire.exchange import Exchange, RequestHead
from app.wire.outcomes import outcome_of

__all__ = ["PlainPosts"]

_JSON_TYPES: Final = (MediaType.JSON, MediaType.GRAPHQL_JSON)
_NO_STORE: Final = b"cache-control: no-store\r\n"


@dataclass(frozen=True, slots=True)
class _Judged:
    """What all requests with one head have in common."""

    authorization: str | None
    client_token: str | None
    media_type: MediaType
    common: bytes
    """Header lines of every answer."""
    fields: bytes
    """Those of a GraphQL response: with its type."""


@dataclass(frozen=True, slots=True)
class _Declined:
    """Requests with this head are not ordinary."""


class PlainPosts:
    """Answers queries and mutations.

    Args:
        target: of the requests, `/graphql`.
        executor: of the schema.
        viewer_of: turns the tokens of the headers into a viewer.
        context_factory: makes a context a request, closed at its end.
        origins: the pages that may read an answer.
        max_body_bytes: a longer body is declined.
        max_anonymous_bytes: so is a longer one of a client without a token.
    """

    def __init__(
        self,
        target: str,
        executor: Executor,
        viewer_of: ViewerOf,
        context_factory: ContextFactory,
        origins: OriginPolicy,
        *,
        max_body_bytes: int = MAX_REQUEST_BYTES,
        max_anonymous_bytes: int = MAX_ANONYMOUS_BYTES,
    ) -> None:
        self.targets = frozenset({target.encode()})
        self._executor = executor
        self._viewer_of = viewer_of
        self._context_factory = context_factory
        self._origins = origins
        self._max_body_bytes = max_body_bytes
        self._max_anonymous_bytes = max_anonymous_bytes

    def respond(self, exchange: Exchange) -> bool:
        """See `Responder.respond`."""
        judged = exchange.head.judged
        if judged is None:
            judged = exchange.head.judged = self._judge(exchange.head)
        if not isinstance(judged, _Judged) or len(exchange.body) > self._max_body_bytes:
            return False
        try:
            viewer = self._viewer_of(bearer_token(judged.authorization), judged.client_token)
            if viewer.anonymous and len(exchange.body) > self._max_anonymous_bytes:
                return False
            parameters = Parameters.of_body(exchange.body)
            operation = self._executor.prepare(*parameters.asked)
        except RequestRefused as refused:
            _answer_refused(exchange, judged, refused)
            return True
        except Exception:
            return False
        if operation.kind is OperationType.SUBSCRIPTION:
            return False
        exchange.run(self._execute(exchange, judged, viewer, operation, parameters.variables))
        return True

    def _judge(self, head: RequestHead) -> _Judged | _Declined:
        headers = Headers(raw=head.fields)
        preferences = Preferences.of(accepted(headers))
        media_type = preferences.one_response()
        if media_type not in _JSON_TYPES or unsupported_content(headers):
            return _Declined()
        origin_fields = self._origins.answer_fields(headers)
        if origin_fields is None:
            return _Declined()
        vary = ", ".join(["Accept", *(value for name, value in origin_fields if name == "vary")])
        pairs = [("vary", vary), *(pair for pair in origin_fields if pair[0] != "vary")]
        common = "".join(f"{name}: {value}\r\n" for name, value in pairs).encode("latin-1")
        return _Judged(
            headers.get("authorization"),
            client_header_token(headers),
            media_type,
            common,
            _content_type(media_type) + common,
        )

    async def _execute(
        self,
        exchange: Exchange,
        judged: _Judged,
        viewer: Viewer,
        operation: Operation,
        variables: Mapping[str, Any],
    ) -> None:
        if exchange.watched is not None:
            exchange.watched.operation = operation.name
        context = self._context_factory(viewer, False, exchange.head.peer)
        try:
            payload = await self._executor.execute(operation, variables, context)
        except RequestRefused as refused:
            _answer_refused(exchange, judged, refused)
        except Exception as error:
            outcome = outcome_of(error)
            lines = "".join(f"{name}: {value}\r\n" for name, value in outcome.headers.items())
            fields = _content_type(MediaType.JSON) + judged.common + lines.encode()
            exchange.answer(outcome.status, fields, _errors([response_error(error)]))
        else:
            kept = _NO_STORE if context.private else b""
            exchange.answer(HTTPStatus.OK, judged.fields + kept, payload)
        finally:
            context.close()


def _answer_refused(exchange: Exchange, judged: _Judged, refused: RequestRefused) -> None:
    # Before there was `application/graphql-response+json`, every well-formed request was answered
    # with 200; clients that ask for `application/json` expect it.
    asked = judged.media_type is MediaType.GRAPHQL_JSON
    status = HTTPStatus.BAD_REQUEST if asked else HTTPStatus.OK
    exchange.answer(status, judged.fields, _errors(refused.errors))


def _errors(errors: list[ResponseError]) -> bytes:
    return encode_json({"errors": errors})


def _content_type(media_type: MediaType) -> bytes:
    return f"content-type: {media_type.value}; charset=utf-8\r\n".encode()
