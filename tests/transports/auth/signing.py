"""Tokens for tests, and what verifies them."""

from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.transports.auth.keys import VerificationKey
from app.transports.auth.verification import Verification

__all__ = ["KEY", "SECRET", "VERIFICATION", "pem", "signed"]

SECRET: Final = "a secret of thirty-two bytes, at least"
KEY: Final = VerificationKey.from_secret(SECRET)
VERIFICATION: Final = Verification([KEY])


def signed(claims: dict[str, Any], **header: Any) -> str:
    """Return a token that `KEY` verifies."""
    return jwt.encode(claims, SECRET, algorithm="HS256", headers=header or None)


def pem(private: Any) -> str:
    """Return the PEM text of a private key's public one."""
    public = private.public_key()
    text: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()
