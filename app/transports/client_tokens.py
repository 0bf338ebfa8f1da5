"""Where a client token stands in what a client sends: a header field, or `connection_init`.

Whatever stands there is looked at: a client that shows a token is never silently anonymous.
"""

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers

from app.domain.json_value import json_kind
from app.errors import Unauthenticated

__all__ = [
    "CLIENT_HEADER",
    "checked_client_token",
    "client_header_token",
    "connection_init_client_token",
]

CLIENT_HEADER: Final = "widgetwire-client"
"""The name of the header field, in lower case."""
_INIT_KEY: Final = "clienttoken"


def client_header_token(headers: Headers) -> str | None:
    """Return what the `Widgetwire-Client` header says; None without one.

    Several fields are one list (RFC 9110, 5.3), and a list is no token.
    """
    fields = headers.getlist(CLIENT_HEADER)
    return ", ".join(field.strip() for field in fields) if fields else None


def connection_init_client_token(payload: Mapping[str, object]) -> str | None:
    """Return the client token of a `connection_init` payload; None if it carries none.

    Args:
        payload: as decoded; `{"clientToken": TOKEN}`, the key in any case. Null is as good as
            absent, other keys are not looked at.

    Raises:
        Unauthenticated: it is no string, or there are two that differ.
    """
    tokens: set[str] = set()
    for key, value in payload.items():
        if value is None or key.lower() != _INIT_KEY:
            continue
        tokens.add(checked_client_token(f"{key} in connection_init", value))
    if len(tokens) > 1:
        raise Unauthenticated("connection_init has two different client tokens; send one")
    return next(iter(tokens), None)


def checked_client_token(where: str, value: object) -> str:
    """Return a client token if it is a string.

    Args:
        where: it stands, for the error.
        value: as decoded.
    """
    if not isinstance(value, str):
        # Its type and nothing of it: half a token is still a secret.
        raise Unauthenticated(
            f"{where} is {json_kind(value)}; expected a string",
            "the client token is not a string",
        )
    return value
