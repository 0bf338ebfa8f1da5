"""How an error is told to a GraphQL client: message, locations, path, extensions.code.

One function turns any exception into that form, on every transport. What is not ours to
show is logged under an id and masked; the id is in both texts.
"""

import logging
import secrets
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from graphql import GraphQLError

from app.errors import ErrorCode, WidgetwireError

__all__ = ["RequestRefused", "ResponseError", "response_error", "response_errors"]

_log = logging.getLogger(__name__)

ResponseError: TypeAlias = dict[str, Any]
"""One element of `errors` in a response."""

_INVALID_VALUE: Final = "a value does not fit the type of its argument"


class RequestRefused(Exception):
    """A request that never began to execute: its response has `errors` and no `data`."""

    def __init__(self, errors: list[ResponseError]) -> None:
        super().__init__("; ".join(str(error["message"]) for error in errors))
        self.errors = errors

    @classmethod
    def of(cls, message: str, code: ErrorCode) -> "RequestRefused":
        """Return a refusal with one error that has no place in the document."""
        return cls([{"message": message, "extensions": {"code": code.value}}])


def response_errors(
    errors: Iterable[Exception], request_code: ErrorCode = ErrorCode.BAD_USER_INPUT
) -> list[ResponseError]:
    """Return each error as a client may see it."""
    return [response_error(error, request_code) for error in errors]


def response_error(
    error: Exception, request_code: ErrorCode = ErrorCode.BAD_USER_INPUT
) -> ResponseError:
    """Return `error` as a client may see it; one that it may not see is logged and masked.

    Args:
        error: of our own tree, of graphql-core (with the cause inside), or any other.
        request_code: what graphql-core's own complaints about the request mean here.
    """
    message, code = _told(error, request_code)
    told: ResponseError = {"message": message}
    if isinstance(error, GraphQLError):
        if error.locations:
            told["locations"] = [
                {"line": location.line, "column": location.column} for location in error.locations
            ]
        if error.path is not None:
            told["path"] = list(error.path)
    told["extensions"] = {"code": code.value}
    return told


def _told(error: Exception, request_code: ErrorCode) -> tuple[str, ErrorCode]:
    cause = _cause(error)
    if isinstance(cause, WidgetwireError):
        if cause.code is ErrorCode.INTERNAL_SERVER_ERROR:
            return _masked(cause)
        return cause.message, cause.code
    if not isinstance(cause, GraphQLError):
        if isinstance(error, GraphQLError) and error.path is None:
            # A scalar failed on a value of the request: graphql-core quotes the exception.
            _log.info("a scalar refused a value with %r", cause)
            return _INVALID_VALUE, request_code
        return _masked(cause)
    assert isinstance(error, GraphQLError), "a GraphQLError has no other around it"
    if error.path is not None and not cause.nodes:
        # During execution, graphql-core gives its complaints about arguments a place in the
        # document; one without is about what a resolver returned: our own mistake.
        return _masked(cause)
    # graphql-core speaks of Python's None where the client wrote null.
    return error.message.replace("not to be None.", "not to be null."), request_code


def _cause(error: Exception) -> Exception:
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error


def _masked(error: Exception) -> tuple[str, ErrorCode]:
    error_id = secrets.token_hex(6)
    _log.error("internal error %s while executing an operation", error_id, exc_info=error)
    return f"internal server error (id {error_id})", ErrorCode.INTERNAL_SERVER_ERROR
