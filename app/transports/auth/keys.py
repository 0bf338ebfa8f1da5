"""Verification keys: each has one algorithm, which follows from the key alone.

A token that names another algorithm (`none`, or HS256 with the public key as the secret) is
refused (RFC 8725, 3.1).
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from app import setting_names
from app.errors import ConfigurationError

__all__ = ["Algorithm", "UnusableKeyError", "VerificationKey", "own_keys"]

Algorithm: TypeAlias = Literal["HS256", "RS256", "ES256", "EdDSA"]

_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
"""Verifying costs the square of the length."""


class UnusableKeyError(Exception):
    """A key of another type, curve or length than those that tokens are verified with."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and the one algorithm that tokens must be signed with."""

    key: str | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
    algorithm: Algorithm

    def __repr__(self) -> str:
        return f"VerificationKey({self.algorithm})"

    @classmethod
    def from_secret(cls, secret: str) -> "VerificationKey":
        """Return the HS256 key of a shared secret."""
        return cls(secret, "HS256")

    @classmethod
    def from_pem(cls, pem: str) -> "VerificationKey":
        """Return the key of a PEM text, its algorithm fixed by its type.

        Raises:
            ConfigurationError: it is no RSA (2048 to 8192 bits), EC P-256 or Ed25519 public key.
        """
        try:
            key = load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise _unusable_setting("text that is no PEM public key") from None
        try:
            return cls.from_public_key(key)
        except UnusableKeyError as error:
            raise _unusable_setting(str(error)) from None

    @classmethod
    def from_public_key(cls, key: object) -> "VerificationKey":
        """Return a public key with the algorithm that its type fixes.

        Raises:
            UnusableKeyError: it is of another kind; the text says of which.
        """
        match key:
            case RSAPublicKey() if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
                raise UnusableKeyError(f"an RSA key of {key.key_size} bits")
            case RSAPublicKey():
                return cls(key, "RS256")
            case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
                return cls(key, "ES256")
            case EllipticCurvePublicKey():
                raise UnusableKeyError(f"an EC key on the curve {key.curve.name}")
            case Ed25519PublicKey():
                return cls(key, "EdDSA")
            case _:
                raise UnusableKeyError("a key of another type")


def own_keys(secret: str | None, pem: str | None) -> tuple[VerificationKey, ...]:
    """Return the keys that the settings hold themselves.

    Args:
        secret: for HS256; None: there is none.
        pem: a public key; None: there is none.

    Raises:
        ConfigurationError: see `VerificationKey.from_pem`.
    """
    keys = []
    if secret is not None:
        keys.append(VerificationKey.from_secret(secret))
    if pem is not None:
        keys.append(VerificationKey.from_pem(pem))
    return tuple(keys)


def _unusable_setting(came: str) -> ConfigurationError:
    return ConfigurationError(
        f"{setting_names.JWT_PUBLIC_KEY}: expected an RSA (2048 to 8192 bits), EC P-256 or Ed25519 "
        f"public key, got {came}"
    )
