"""Who takes part: tokens that the server under test believes."""

from typing import Final

import jwt

__all__ = ["SETTINGS", "token"]

_SECRET: Final = "a secret for benchmarks of thirty-two bytes or more"
SETTINGS: Final = {"WIDGETWIRE_JWT_SECRET": _SECRET}
"""Of the server."""


def token(subject: str, *permissions: str) -> str:
    """Return a token with these permissions beside publishing, subscribing and searching."""
    granted = ["publish", "subscribe", "search", *permissions]
    return jwt.encode({"sub": subject, "permissions": granted}, _SECRET, "HS256")
