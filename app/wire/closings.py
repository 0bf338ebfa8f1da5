"""Sockets and streams that the server ends for a reason: in the log once a minute for each cause.

A client is told by its close code; the operator finds here that it happens, and how often.
"""

import logging
from typing import Final

from app.peer import Peer
from app.telemetry.log_fields import event
from app.telemetry.logs import LogThrottle
from app.wire.close_codes import CloseCode

__all__ = ["log_closing"]

_log: Final = logging.getLogger(__name__)

_CAUSES: Final = {
    CloseCode.MESSAGE_TOO_BIG: (logging.INFO, "a message was too large"),
    CloseCode.INTERNAL_ERROR: (logging.ERROR, "an internal error"),
    CloseCode.TRY_AGAIN_LATER: (logging.WARNING, "the client read too slowly, or overload"),
    CloseCode.MALFORMED: (logging.INFO, "a message was malformed"),
    CloseCode.UNAUTHORIZED: (logging.INFO, "a token was bad or missing"),
    CloseCode.FORBIDDEN: (logging.INFO, "a token expired or a right was withdrawn"),
    CloseCode.INITIALISATION_TIMEOUT: (logging.INFO, "it was not opened in time"),
    CloseCode.CONFLICT: (logging.INFO, "it was opened twice, or an id was in use"),
    CloseCode.TOO_MANY: (logging.WARNING, "too many of something"),
}
"""Those that go unmentioned are everyday: 1000, 1001, 1012."""

_throttle = LogThrottle(others="others")


def log_closing(code: int, peer: Peer) -> None:
    """Log that the server closes a socket, or a stream that stands for one.

    Args:
        code: a `CloseCode`. The reason given to the client is not logged: it may quote it.
        peer: who is at the other end.
    """
    found = _CAUSES.get(code)  # type: ignore[call-overload]  # an int that may be a code
    line = None if found is None else _throttle.admit(str(code))
    if line is None:
        return
    level, cause = found
    _log.log(
        level,
        "a socket or stream is closed with %d: %s%s",
        code,
        cause,
        line.more,
        extra=event(
            "socket.closed_by_server",
            code=code,
            withheld=line.withheld,
            peer=peer,
        ),
    )
