"""Where a user's token stands in what a client sends: a header field, or `connection_init`.

Whatever stands there is looked at: a client that shows a token is never silently anonymous.
"""

from collections.abc import Mapping

from app.domain.json_value import json_kind
from app.errors import Unauthenticated

__all__ = ["bearer_token", "connection_init_token"]


def bearer_token(header: str | None) -> str | None:
    """Return the token of an `Authorization` header; None without a header.

    Raises:
        Unauthenticated: the header is of another scheme or malformed: not anonymous.
    """
    if header is None:
        return None
    scheme, _, token = header.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or " " in token:
        raise Unauthenticated("the Authorization header is not of the form 'Bearer TOKEN'")
    return token


def connection_init_token(payload: object) -> str | None:
    """Return the token of a `connection_init` payload; None if it carries none.

    Args:
        payload: as decoded; `{"authToken": TOKEN}` or `{"Authorization": "Bearer TOKEN"}`, keys
            in any case. Null values are as good as absent, other keys are not looked at.

    Raises:
        Unauthenticated: a token is there in the wrong form, or two that differ.
    """
    if not isinstance(payload, Mapping):
        return None
    tokens: set[str] = set()
    for key, value in payload.items():
        name = key.lower() if isinstance(key, str) else ""
        if value is None or name not in {"authtoken", "authorization"}:
            continue
        if not isinstance(value, str):
            # Its type and nothing of it: half a token is still a secret.
            raise Unauthenticated(
                f"{key} in connection_init is {json_kind(value)}; allowed is a string",
                "the token in connection_init is not a string",
            )
        token = bearer_token(value) if name == "authorization" else value
        if token is not None:
            tokens.add(token)
    if len(tokens) > 1:
        raise Unauthenticated("connection_init carries two different tokens; allowed is one")
    return next(iter(tokens), None)
