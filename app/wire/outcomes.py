"""What an error means to whoever meets it: HTTP status, close code, and whether to come back.

Every transport reads this one table. The code in `extensions.code` belongs to the error itself:
`app.errors`. What ends a conversation without an error has a close code only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from app.errors import (
    BadUserInput,
    Forbidden,
    PayloadTooLarge,
    RateLimited,
    Rejected,
    RightWithdrawn,
    ShuttingDown,
    SubscriberTooSlow,
    TokenExpired,
    Unauthenticated,
    Unavailable,
    UnknownCursor,
    WidgetwireError,
)
from app.wire.close_codes import CloseCode

__all__ = ["OUTCOMES", "Outcome", "outcome_of"]

_RETRY_AFTER_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request, or a socket that cannot go on, ends because of an error."""

    status: HTTPStatus
    """Of a request that is refused as a whole."""
    close: CloseCode
    temporary: bool = False
    """The same request may succeed later, or with a new token. Else it never will."""

    @property
    def headers(self) -> dict[str, str]:
        """The header fields that go with the status, their names in lower case."""
        if self.status is HTTPStatus.UNAUTHORIZED:
            # RFC 9110, 15.5.2: "The server generating a 401 response MUST send a
            # WWW-Authenticate header field".
            return {"www-authenticate": "Bearer"}
        # 403: not later, but with another token.
        again = self.temporary and self.status is not HTTPStatus.FORBIDDEN
        return {"retry-after": str(_RETRY_AFTER_SECONDS)} if again else {}


OUTCOMES: Final[Mapping[type[WidgetwireError], Outcome]] = {
    # What has no row of its own has that of its nearest base.
    WidgetwireError: Outcome(HTTPStatus.INTERNAL_SERVER_ERROR, CloseCode.INTERNAL_ERROR),
    BadUserInput: Outcome(HTTPStatus.BAD_REQUEST, CloseCode.MALFORMED),
    UnknownCursor: Outcome(HTTPStatus.BAD_REQUEST, CloseCode.MALFORMED),
    Unauthenticated: Outcome(HTTPStatus.UNAUTHORIZED, CloseCode.UNAUTHORIZED),
    TokenExpired: Outcome(HTTPStatus.UNAUTHORIZED, CloseCode.FORBIDDEN, temporary=True),
    # The token is good, but not for this: a socket that came back with it would be refused again.
    Forbidden: Outcome(HTTPStatus.FORBIDDEN, CloseCode.UNAUTHORIZED),
    # Whoever held the right a moment ago may have a better token at hand.
    RightWithdrawn: Outcome(HTTPStatus.FORBIDDEN, CloseCode.FORBIDDEN, temporary=True),
    PayloadTooLarge: Outcome(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, CloseCode.MESSAGE_TOO_BIG),
    # A request may come again; a socket that was closed for it would do the same again.
    RateLimited: Outcome(HTTPStatus.TOO_MANY_REQUESTS, CloseCode.TOO_MANY, temporary=True),
    Rejected: Outcome(HTTPStatus.FORBIDDEN, CloseCode.MALFORMED),
    Unavailable: Outcome(HTTPStatus.SERVICE_UNAVAILABLE, CloseCode.TRY_AGAIN_LATER, temporary=True),
    ShuttingDown: Outcome(
        HTTPStatus.SERVICE_UNAVAILABLE, CloseCode.SERVICE_RESTART, temporary=True
    ),
    SubscriberTooSlow: Outcome(
        HTTPStatus.SERVICE_UNAVAILABLE, CloseCode.TRY_AGAIN_LATER, temporary=True
    ),
}


def outcome_of(error: BaseException) -> Outcome:
    """Return how a request or a socket ends because of `error`; what is not ours is internal."""
    for kind in type(error).__mro__:
        if kind in OUTCOMES:
            return OUTCOMES[kind]
    return OUTCOMES[WidgetwireError]
