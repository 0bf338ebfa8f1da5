"""What a client is told of an error that it may not see: an id, which the log has too."""

import logging
import secrets
from typing import Final, NamedTuple

from app.errors import ErrorCode, WidgetwireError
from app.telemetry.log_context import log_context
from app.telemetry.log_fields import event

__all__ = ["Told", "masked", "told"]

_log: Final = logging.getLogger(__name__)


class Told(NamedTuple):
    """What a client learns of an error."""

    code: ErrorCode
    message: str
    retry_after_ms: int | None = None
    """When a retry may succeed; None: the server does not know, or a retry is no use."""


def masked(error: BaseException, doing: str, *, connection_id: str | None = None) -> str:
    """Log an error with its trace under an id, and return the text for the client.

    The id is that of the request, which all its lines in the log have; where none is known, that
    of the connection; else a new one.

    Args:
        error: any; nothing of it is in the text.
        doing: what was being done, for the log.
        connection_id: for what is no request.
    """
    request = log_context()
    error_id = connection_id or secrets.token_hex(6) if request is None else request.request_id
    _log.error(
        "internal error %s while %s",
        error_id,
        doing,
        exc_info=error,
        extra=event("error.masked", error_id=error_id, connection_id=connection_id),
    )
    return f"internal server error (id {error_id})"


def told(error: BaseException, doing: str) -> Told:
    """Return what a client learns of an error.

    Args:
        error: one of our own tree is told as it is; any other is masked.
        doing: what was being done, for the log.
    """
    if isinstance(error, WidgetwireError) and error.code is not ErrorCode.INTERNAL_SERVER_ERROR:
        return Told(error.code, error.message, error.retry_after_ms)
    return Told(ErrorCode.INTERNAL_SERVER_ERROR, masked(error, doing))
