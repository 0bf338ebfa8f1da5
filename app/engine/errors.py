"""How an error is told to a GraphQL client: message, locations, path, extensions.code.

One function turns any exception into that form, on every transport. What is not ours to
show is logged under an id and masked; the id is in both texts.
"""

import logging
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, TypeAlias

from graphql import GraphQLError

from app.errors import ErrorCode, WidgetwireError, cut
from app.masking import Told, masked, told
from app.telemetry.counters import COUNTED

__all__ = ["MAX_ERRORS", "RequestRefused", "ResponseError", "response_error", "response_errors"]

_log = logging.getLogger(__name__)

ResponseError: TypeAlias = dict[str, Any]
"""One element of `errors` in a response."""

MAX_ERRORS: Final = 10
"""Errors of one response; the rest is left out. A client mends the first ones first."""
MAX_MESSAGE: Final = 500
"""Characters of an error's message: graphql-core quotes what came, however long."""
_MAX_LOCATIONS: Final = 10
_DOING: Final = "executing an operation"
_INVALID_VALUE: Final = "a value does not fit the type of its argument"


class RequestRefused(Exception):
    """A request that never began to execute: its response has `errors` and no `data`."""

    def __init__(self, errors: list[ResponseError]) -> None:
        super().__init__("; ".join(str(error["message"]) for error in errors))
        self.errors = errors

    @classmethod
    def of(cls, message: str, code: ErrorCode) -> "RequestRefused":
        """Return a refusal with one error that has no place in the document."""
        COUNTED.errors[code.value] += 1
        return cls([{"message": message, "extensions": {"code": code.value}}])


def response_errors(
    errors: Iterable[Exception], request_code: ErrorCode = ErrorCode.BAD_USER_INPUT
) -> list[ResponseError]:
    """Return the first ten errors as a client may see them."""
    return [response_error(error, request_code) for error in islice(errors, MAX_ERRORS)]


def response_error(
    error: Exception, request_code: ErrorCode = ErrorCode.BAD_USER_INPUT
) -> ResponseError:
    """Return `error` as a client may see it; one that it may not see is logged and masked.

    Args:
        error: of our own tree, of graphql-core (with the cause inside), or any other.
        request_code: what graphql-core's own complaints about the request mean here.
    """
    what = _told(error, request_code)
    COUNTED.errors[what.code.value] += 1
    response: ResponseError = {"message": cut(what.message, MAX_MESSAGE)}
    if isinstance(error, GraphQLError):
        if error.locations:
            response["locations"] = [
                {"line": location.line, "column": location.column}
                for location in error.locations[:_MAX_LOCATIONS]
            ]
        if error.path is not None:
            response["path"] = list(error.path)
    extensions = response["extensions"] = {"code": what.code.value}
    if what.retry_after_ms is not None:
        extensions["retryAfterMs"] = what.retry_after_ms
    return response


def _told(error: Exception, request_code: ErrorCode) -> Told:
    cause = _cause(error)
    if isinstance(cause, WidgetwireError):
        return told(cause, _DOING)
    if not isinstance(cause, GraphQLError):
        if isinstance(error, GraphQLError) and error.path is None:
            # A scalar failed on a value of the request: graphql-core quotes the exception.
            _log.info("a scalar refused a value with %s", type(cause).__name__)
            return Told(request_code, _INVALID_VALUE)
        return told(cause, _DOING)
    assert isinstance(error, GraphQLError), "a GraphQLError has no other around it"
    if error.path is not None and not cause.nodes:
        # During execution, graphql-core gives its complaints about arguments a place in the
        # document; one without is about what a resolver returned: our own mistake.
        return Told(ErrorCode.INTERNAL_SERVER_ERROR, masked(cause, _DOING))
    # graphql-core speaks of Python's None where the client wrote null.
    return Told(request_code, error.message.replace("not to be None.", "not to be null."))


def _cause(error: Exception) -> Exception:
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error
