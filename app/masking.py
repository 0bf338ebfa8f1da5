"""What a client is told of an error that it may not see: an id, which the log has too."""

import logging
import secrets
from typing import Final, NamedTuple

from app.errors import ErrorCode, WidgetwireError

__all__ = ["Told", "masked", "told"]

_log: Final = logging.getLogger(__name__)


class Told(NamedTuple):
    """What a client learns of an error."""

    code: ErrorCode
    message: str
    retry_after_ms: int | None = None
    """When a retry may succeed; None: the server does not know, or a retry is no use."""


def masked(error: BaseException, doing: str) -> str:
    """Log an error with its trace under a new id, and return the text for the client.

    Args:
        error: any; nothing of it is in the text.
        doing: what was being done, for the log.
    """
    error_id = secrets.token_hex(6)
    _log.error("internal error %s while %s", error_id, doing, exc_info=error)
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
