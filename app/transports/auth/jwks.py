"""A JSON Web Key Set (RFC 7517): from its text to verification keys.

Public keys only, each with the algorithm that its type fixes. What is no such key is left out
(RFC 7517, 5: implementations should ignore JWKs that they do not understand); a text that is no
key set is an error. Nothing in a key (`x5u`, say) is ever fetched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
import msgspec
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from app.domain.json_bounds import BeyondBounds, check_json_bounds
from app.transports.auth.keys import UnusableKeyError, VerificationKey

__all__ = ["MAX_KEYS", "IssuedKey", "KeySet", "NoKeySetError"]

MAX_KEYS: Final = 100
"""Keys of one set; one with more is refused."""
_MAX_TRIED: Final = 8
"""Keys that one token is tried against, where it does not say which is its own."""
_MAX_LEVELS: Final = 16
_MAX_VALUES: Final = 10_000

_PUBLIC: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("kty", "n", "e"),
    "EC": ("kty", "crv", "x", "y"),
    "OKP": ("kty", "crv", "x"),
}
"""By type, what the public key is read from. `oct` is a secret: no set may bring one."""


class NoKeySetError(Exception):
    """What came is no key set; the text says why."""


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """One key of a set."""

    id: str | None
    """Its `kid`; None: it has none."""
    key: VerificationKey


class KeySet:
    """The usable keys of one set.

    Args:
        keys: in the order of the set.
        unusable: how many others the set has.
    """

    def __init__(self, keys: Sequence[IssuedKey] = (), unusable: int = 0) -> None:
        self._keys = tuple(keys)
        self._ids = frozenset(one.id for one in keys if one.id is not None)
        self.unusable = unusable

    def __len__(self) -> int:
        return len(self._keys)

    @classmethod
    def of(cls, text: bytes) -> "KeySet":
        """Return the key set that a text is.

        Args:
            text: as it came; bound its length before.

        Raises:
            NoKeySetError: it is not JSON, not a key set, or has too many keys.
        """
        try:
            check_json_bounds(text, _MAX_VALUES, _MAX_LEVELS)
            document = msgspec.json.decode(text)
        except (BeyondBounds, msgspec.DecodeError, UnicodeError, RecursionError):
            raise NoKeySetError("the answer is not JSON, or is too deep") from None
        listed = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(listed, list):
            raise NoKeySetError("the answer has no list 'keys'")
        if len(listed) > MAX_KEYS:
            raise NoKeySetError(f"the answer has {len(listed)} keys; allowed are {MAX_KEYS}")
        keys = [issued for one in listed if (issued := _issued_key(one)) is not None]
        return cls(keys, len(listed) - len(keys))

    def names(self, key_id: str | None) -> bool:
        """Return whether a key has this `kid`."""
        return key_id in self._ids

    def lacks_any_of(self, other: "KeySet") -> bool:
        """Return whether a key of the other set is not in this one."""
        return any(one not in self._keys for one in other._keys)

    def candidates(self, key_id: str | None, algorithm: str) -> list[VerificationKey]:
        """Return the keys that a token may be signed with, at most 8.

        Args:
            key_id: the token's `kid`; None: it has none, and any key may be meant.
            algorithm: the token's `alg`. It only chooses among keys: each verifies by its own.
        """
        return [
            one.key
            for one in self._keys
            if one.key.algorithm == algorithm and (key_id is None or one.id == key_id)
        ][:_MAX_TRIED]


def _issued_key(jwk: object) -> IssuedKey | None:
    """Return a public key for signatures; None for anything else."""
    if not isinstance(jwk, dict):
        return None
    key_id, operations = jwk.get("kid"), jwk.get("key_ops")
    if not isinstance(key_id, str | None) or jwk.get("use", "sig") != "sig":
        return None
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    key = _public_key(jwk)
    if key is None or jwk.get("alg", key.algorithm) != key.algorithm:
        return None
    return IssuedKey(key_id, key)


def _public_key(jwk: Mapping[str, Any]) -> VerificationKey | None:
    kind = jwk.get("kty")
    names = _PUBLIC.get(kind) if isinstance(kind, str) else None
    if names is None or "d" in jwk:  # a private key that others can read proves nothing
        return None
    public = {name: jwk.get(name) for name in names}
    if not all(isinstance(part, str) for part in public.values()):
        return None
    try:
        return VerificationKey.from_public_key(_READERS[kind].from_jwk(public))
    # Numbers of any size and base64 of anything.
    except (jwt.PyJWTError, UnusableKeyError, ValueError, TypeError, OverflowError):
        return None


_READERS: Final[Mapping[Any, Any]] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
