"""Why a socket is closed: the code tells the client what to do next.

Come back later, or never: GraphQL clients retry after the first group and treat the
second as final (https://github.com/enisdenjo/graphql-ws, `shouldRetry` and fatal codes).
The wordings after 44xx follow the graphql-transport-ws protocol where it has them.
"""

from enum import IntEnum

__all__ = ["CloseCode"]


class CloseCode(IntEnum):
    """Close codes of both sockets."""

    # The client said goodbye, or both are done.
    NORMAL = 1000

    # Come back.
    GOING_AWAY = 1001
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    """Reading too slowly, or the server is overloaded."""
    FORBIDDEN = 4403
    """The token expired or a right was withdrawn: fetch a new one."""
    INITIALISATION_TIMEOUT = 4408
    """No `open` or `connection_init` in time."""

    # Final.
    INVALID_TEXT = 1007
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    MALFORMED = 4400
    UNAUTHORIZED = 4401
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    CONFLICT = 4409
    """Opened twice, or an operation id that is in use."""
    TOO_MANY = 4429
