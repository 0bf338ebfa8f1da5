"""Tokens of people: what the processes of `pair` believe."""

from typing import Any

import jwt

from tests.acceptance.conftest import SECRET

__all__ = ["token"]


def token(subject: str, *permissions: str) -> str:
    """Return a token of a subject; without permissions it has those that everybody has."""
    claims: dict[str, Any] = {"sub": subject}
    if permissions:
        claims["permissions"] = [*permissions]
    return jwt.encode(claims, SECRET, "HS256")
