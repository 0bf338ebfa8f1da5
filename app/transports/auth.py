"""From a token to a `Viewer`: the one place that decides who is asking.

Every transport passes it. A bad token is an error, never an anonymous viewer.
"""

import base64
import binascii
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from app import setting_names
from app.defaults import MAX_TOKEN_BYTES
from app.domain.json_bounds import BeyondBounds, check_json_bounds
from app.domain.json_value import json_kind
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import ConfigurationError, TokenExpired, Unauthenticated
from app.services.client_ids import ClientIds

__all__ = [
    "Authenticator",
    "VerificationKey",
    "bearer_token",
    "connection_init_token",
]

AnonymousPolicy = Literal["allow", "read", "deny"]

_LEEWAY_SECONDS: Final = 5
"""Clocks of issuer and server may differ by this much."""
_MIN_RSA_BITS: Final = 2048
_MAX_NAME: Final = 256
"""Longest `sub` or user name, in characters: the name is stored with every message."""
_MAX_PROJECTS: Final = 1000
_FAR: Final = 1e12
"""Seconds since 1970 past which a claim is no time; also what keeps `float` from overflowing."""
_CACHED_VIEWERS: Final = 4096
_MAX_LEVELS: Final = 16
"""Arrays and objects inside one another, in a token."""
_CACHED_CHARACTERS: Final = 2 * 1024 * 1024
"""Of all cached tokens; a token and its viewer take up to sixteen times the token's length."""
_REGISTERED: Final = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
_PERMISSIONS: Final = ", ".join(Permission)

_ANONYMOUS: Final[Mapping[AnonymousPolicy, frozenset[Permission]]] = {
    "allow": DEFAULT_PERMISSIONS,
    "read": frozenset({Permission.SUBSCRIBE, Permission.SEARCH}),
    "deny": frozenset(),
}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and the one algorithm that tokens must be signed with.

    The algorithm comes from the key, never from the token: a token that names another one
    (`none`, or HS256 with the public key as the secret) is refused (RFC 8725, 3.1).
    """

    key: str | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
    algorithm: Literal["HS256", "RS256", "ES256", "EdDSA"]

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
            ConfigurationError: it is no RSA (2048 bits or more), EC P-256 or Ed25519 public key.
        """
        try:
            key = load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise _unusable("text that is no PEM public key") from None
        match key:
            case RSAPublicKey() if key.key_size < _MIN_RSA_BITS:
                raise _unusable(f"an RSA key of {key.key_size} bits")
            case RSAPublicKey():
                return cls(key, "RS256")
            case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
                return cls(key, "ES256")
            case EllipticCurvePublicKey():
                raise _unusable(f"an EC key on the curve {key.curve.name}")
            case Ed25519PublicKey():
                return cls(key, "EdDSA")
            case _:
                raise _unusable("a key of another type")


class Authenticator:
    """Turns tokens into viewers.

    Args:
        key: what tokens are verified with; None: no token is accepted.
        client_ids: verifies client tokens; None: no client token is accepted.
        anonymous: what a viewer without a token may do.
        max_token_bytes: longest token looked at; a longer one is refused unread.
    """

    def __init__(
        self,
        key: VerificationKey | None = None,
        *,
        client_ids: ClientIds | None = None,
        anonymous: AnonymousPolicy = "allow",
        max_token_bytes: int = MAX_TOKEN_BYTES,
    ) -> None:
        self._key = key
        self._client_ids = client_ids
        self._max_token_bytes = max_token_bytes
        self._denied = anonymous == "deny"
        self._anonymous = Viewer(None, _ANONYMOUS[anonymous], anonymous=True)
        # PyJWT verifies the signature; the claims are looked at here, so that an error names
        # the one that is wrong. `aud` and `iss` mean nothing to this service.
        self._jwt = jwt.PyJWT(
            {f"verify_{claim}": False for claim in _REGISTERED}  # type: ignore[arg-type]
        )
        # HTTP clients send one token again and again; verifying costs 20 to 150 µs, a look-up
        # 0.2. Oldest goes first.
        self._verified: dict[str, Viewer] = {}
        self._verified_characters = 0

    def viewer(self, token: str | None, client_token: str | None = None) -> Viewer:
        """Return who holds `token`; without one, the anonymous viewer if there may be one.

        Args:
            token: of a user.
            client_token: proves a signed client id, which the viewer has then; it grants nothing.

        Raises:
            TokenExpired: a token was good once; the client should fetch a new one.
            Unauthenticated: a token is bad, or is needed and missing.
        """
        viewer = self._holder(token)
        if client_token is None:
            return viewer
        if self._client_ids is None:
            raise Unauthenticated("a client token came, and none is accepted here")
        return replace(viewer, client_id=self._client_ids.verified(client_token))

    def _holder(self, token: str | None) -> Viewer:
        if token is None:
            if self._denied:
                raise Unauthenticated("a token is needed and none came")
            return self._anonymous
        known = self._verified.get(token)
        if known is None:
            known = _viewer(self._claims(token), time.time())
            self._verified[token] = known
            self._verified_characters += len(token)
            while (
                len(self._verified) > _CACHED_VIEWERS
                or self._verified_characters > _CACHED_CHARACTERS
            ):
                self._forget(next(iter(self._verified)))
        elif _expired(known):
            self._forget(token)
            raise TokenExpired("the token has expired")
        return known

    def _forget(self, token: str) -> None:
        del self._verified[token]
        self._verified_characters -= len(token)

    def _claims(self, token: str) -> dict[str, Any]:
        # Characters are at least one byte each, so this bounds the bytes as well; what is not
        # ASCII is no token.
        if len(token) > self._max_token_bytes:
            raise Unauthenticated(
                f"the token has {len(token)} bytes; allowed are {self._max_token_bytes}",
                f"the token has more than {self._max_token_bytes} bytes",
            )
        if not token or not token.isascii():
            raise Unauthenticated("the token is not a JSON Web Token")
        if self._key is None:
            raise Unauthenticated(
                "a token came, but this server has no key to verify it with; connect without one"
            )
        _check_bounds(token)
        try:
            return self._jwt.decode(token, self._key.key, algorithms=[self._key.algorithm])
        except jwt.InvalidAlgorithmError:
            raise Unauthenticated(
                f"the token is signed with another algorithm; allowed is {self._key.algorithm}"
            ) from None
        except jwt.InvalidSignatureError:
            raise Unauthenticated("the token's signature does not match") from None
        # Its parser meets arbitrary text: a header of another type, for one.
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError):
            raise Unauthenticated("the token is not a valid JSON Web Token") from None


def _check_bounds(token: str) -> None:
    """Return if header and claims are as flat as those of any issuer.

    Raises:
        Unauthenticated: PyJWT's parser would go as deep as the text does.
    """
    for part in token.split(".")[:2]:
        try:
            check_json_bounds(
                base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), max_levels=_MAX_LEVELS
            )
        except BeyondBounds as error:
            raise Unauthenticated(
                f"the token is not a valid JSON Web Token: {error.message}"
            ) from None
        except (binascii.Error, ValueError):
            return  # PyJWT says what is wrong with it.


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


def _expired(viewer: Viewer) -> bool:
    return viewer.expires_at is not None and viewer.expires_at + _LEEWAY_SECONDS <= time.time()


def _viewer(claims: Mapping[str, object], now: float) -> Viewer:
    expires_at, not_before = _time(claims, "exp"), _time(claims, "nbf")
    if expires_at is not None and expires_at + _LEEWAY_SECONDS <= now:
        raise TokenExpired("the token has expired")
    if not_before is not None and not_before - _LEEWAY_SECONDS > now:
        raise Unauthenticated("the token is not valid yet (nbf)")
    subject = _name(claims, "sub")
    username = next(
        (
            name
            for claim in ("username", "preferred_username", "referenceName")
            if (name := _name(claims, claim)) is not None
        ),
        subject,
    )
    projects = _texts(claims, "projects")
    if projects is not None and len(projects) > _MAX_PROJECTS:
        raise _wrong_claim("projects", f"a list of at most {_MAX_PROJECTS}")
    permissions = _texts(claims, "permissions")
    if permissions is not None and not permissions <= set(Permission):
        raise _wrong_claim("permissions", f"a list of {_PERMISSIONS}")
    return Viewer(
        username=username,
        permissions=(
            DEFAULT_PERMISSIONS
            if permissions is None
            else frozenset(Permission(text) for text in permissions)
        ),
        projects=projects,
        subject=subject,
        expires_at=expires_at,
    )


def _name(claims: Mapping[str, object], claim: str) -> str | None:
    value = claims.get(claim)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong_claim(claim, "text")
    if not (1 <= len(value) <= _MAX_NAME and value.isprintable()):
        raise _wrong_claim(claim, f"1 to {_MAX_NAME} printable characters")
    return value


def _time(claims: Mapping[str, object], claim: str) -> float | None:
    value = claims.get(claim)
    if claim not in claims:
        return None
    # RFC 7519, 2: "A JSON numeric value representing the number of seconds from
    # 1970-01-01T00:00:00Z UTC": no text, no boolean; Python's parser knows Infinity and NaN.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _FAR:
        raise _wrong_claim(claim, "a number of seconds since 1970")
    return float(value)


def _texts(claims: Mapping[str, object], claim: str) -> frozenset[str] | None:
    value = claims.get(claim)
    if claim not in claims:
        return None
    # A null or a bare string is a mistake of the issuer; to read it as "all" would grant more.
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _wrong_claim(claim, "a list of texts")
    return frozenset(value)


def _wrong_claim(claim: str, allowed: str) -> Unauthenticated:
    return Unauthenticated(f"the token's claim {claim!r} is wrong; allowed is {allowed}")


def _unusable(came: str) -> ConfigurationError:
    return ConfigurationError(
        f"{setting_names.JWT_PUBLIC_KEY}: expected an RSA (2048 bits or more), EC P-256 or Ed25519 "
        f"public key, got {came}"
    )
