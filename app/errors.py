"""What Widgetwire can refuse, and the one code each refusal carries.

    WidgetwireError
    ├── BadUserInput          BAD_USER_INPUT          the caller must change the request
    ├── Unauthenticated       UNAUTHENTICATED         a token is missing or bad
    │   └── TokenExpired      UNAUTHENTICATED         ... was good; fetch a new one
    ├── Forbidden             FORBIDDEN               the token does not grant this
    │   └── RightWithdrawn    FORBIDDEN               ... any more; fetch another one
    ├── PayloadTooLarge       PAYLOAD_TOO_LARGE       send less
    ├── RateLimited           RATE_LIMITED            send slower
    ├── Rejected              REJECTED                the channel does not take this message
    ├── UnknownCursor         UNKNOWN_CURSOR          resume from elsewhere
    ├── Unavailable           UNAVAILABLE             retry later, nothing is wrong with the request
    │   └── ShuttingDown      UNAVAILABLE             ... with another process
    └── SubscriberTooSlow     UNAVAILABLE             read faster, then resume
        └── DeliveryFailed    UNAVAILABLE             ... it was not your fault; resume
    ConfigurationError                                the operator must change a setting
    StartupError                                      the service did not start; the log says why

Reply errors live here. Which HTTP status and close code each means: `app.wire.outcomes`.
"""

from enum import StrEnum

__all__ = [
    "BadUserInput",
    "ConfigurationError",
    "DatabaseUnreachable",
    "DeliveryFailed",
    "ErrorCode",
    "Forbidden",
    "PayloadTooLarge",
    "RateLimited",
    "Rejected",
    "RightWithdrawn",
    "ShuttingDown",
    "StartupError",
    "SubscriberTooSlow",
    "TokenExpired",
    "Unauthenticated",
    "Unavailable",
    "UnknownCursor",
    "WidgetwireError",
    "cut",
    "shown",
]


class ErrorCode(StrEnum):
    """The values of `extensions.code`, the same on every transport."""

    BAD_USER_INPUT = "BAD_USER_INPUT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    RATE_LIMITED = "RATE_LIMITED"
    REJECTED = "REJECTED"
    UNKNOWN_CURSOR = "UNKNOWN_CURSOR"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"


class WidgetwireError(Exception):
    """A refusal that a client may read: its text holds no internals."""

    code: ErrorCode = ErrorCode.INTERNAL_SERVER_ERROR
    retry_after_ms: int | None = None
    """How long to wait before the same request may succeed; None: the server does not know."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadUserInput(WidgetwireError):
    """The request is wrong, and would be wrong again."""

    code = ErrorCode.BAD_USER_INPUT


class Unauthenticated(WidgetwireError):
    """A token is needed, or the one that came is not valid.

    Attributes:
        reason: the message without anything that the client sent, for the log.
    """

    code = ErrorCode.UNAUTHENTICATED

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason


class TokenExpired(Unauthenticated):
    """The token was valid once: the client should fetch a new one."""


class Forbidden(WidgetwireError):
    """The viewer is known and lacks the right."""

    code = ErrorCode.FORBIDDEN


class RightWithdrawn(Forbidden):
    """What is open was begun by a right that the viewer's new token does not grant."""


class PayloadTooLarge(WidgetwireError):
    """Something exceeds its bound in bytes."""

    code = ErrorCode.PAYLOAD_TOO_LARGE


class RateLimited(WidgetwireError):
    """Too many requests at once or in a while.

    Args:
        message: for the client.
        retry_after_ms: when a retry may succeed, as far as the server knows.
    """

    code = ErrorCode.RATE_LIMITED

    def __init__(self, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Rejected(WidgetwireError):
    """The channel does not take this message: by its policy, or because its key is spent."""

    code = ErrorCode.REJECTED


class UnknownCursor(WidgetwireError):
    """`after` names no stored message of the channel."""

    code = ErrorCode.UNKNOWN_CURSOR


class Unavailable(WidgetwireError):
    """The service cannot answer now: retry later.

    Args:
        message: for the client.
        retry_after_ms: when a retry may succeed, as far as the server knows.
    """

    code = ErrorCode.UNAVAILABLE

    def __init__(self, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class ShuttingDown(Unavailable):
    """This process is going away: retry with another."""

    def __init__(self) -> None:
        super().__init__("the server is restarting; reconnect")


class SubscriberTooSlow(WidgetwireError):
    """A subscriber fell behind its bound and was let go; it can resume with `after`."""

    code = ErrorCode.UNAVAILABLE

    def __init__(self, why: str) -> None:
        super().__init__(f"reading too slowly: {why}; resume after the last message received")


class DeliveryFailed(SubscriberTooSlow):
    """A message could not be given to a subscriber, which was let go like one too slow."""

    def __init__(self) -> None:
        WidgetwireError.__init__(
            self, "a message could not be delivered; resume after the last message received"
        )


class ConfigurationError(Exception):
    """A setting or the surroundings keep the service from starting."""


class DatabaseUnreachable(ConfigurationError):
    """The database takes no connections now; it may be starting."""


class StartupError(Exception):
    """The application did not start; the log says why."""


def shown(value: object, most: int = 60) -> str:
    """Return `value` as an error text may show it: short, and on one line.

    Args:
        value: what came from the client.
        most: the longest result, in characters; a longer one ends in an ellipsis.
    """
    return cut(repr(value[: most + 1] if isinstance(value, str | bytes) else value), most)


def cut(text: str, most: int) -> str:
    """Return `text`, or its beginning and an ellipsis: at most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
