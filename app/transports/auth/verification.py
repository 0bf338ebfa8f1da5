"""From a token's text to its claims: which keys it may be signed with, and whether it is.

What the token says about its algorithm and its key only chooses among the keys that this service
trusts. `jku`, `x5u`, `x5c` and `jwk` are not looked at: no token brings a key (RFC 8725, 3.10).
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import jwt

from app.domain.json_bounds import BeyondBounds, check_json_bounds
from app.errors import Unauthenticated, Unavailable, shown
from app.transports.auth.issued_keys import IssuedKeys
from app.transports.auth.keys import VerificationKey

__all__ = ["KeysWanted", "Verification"]

_REGISTERED: Final = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
_ISSUED_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""Of public keys: what a key set may bring."""
_MAX_LEVELS: Final = 16
"""Arrays and objects inside one another, in a token."""
_MALFORMED: Final = (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError)
"""What PyJWT's parser raises: it meets arbitrary text, a header of another type for one."""


class KeysWanted(Unavailable):
    """The token may be good: its key is not known yet, and the issuer's keys can be fetched.

    Attributes:
        fetched: waits until they are, some seconds at most. Then the token can be looked at again.
    """

    def __init__(self, fetched: Callable[[], Awaitable[None]]) -> None:
        super().__init__("the keys that tokens are verified with are being fetched; retry later")
        self.fetched = fetched


class Verification:
    """Verifies tokens.

    Args:
        own: keys of the settings.
        issued: keys that an issuer publishes; None: there is no such issuer.
    """

    def __init__(
        self, own: Sequence[VerificationKey] = (), issued: IssuedKeys | None = None
    ) -> None:
        self._own = tuple(own)
        self._issued = issued
        algorithms = {key.algorithm: None for key in own}
        if issued is not None:
            algorithms |= dict.fromkeys(_ISSUED_ALGORITHMS)
        self._algorithms = tuple(algorithms)
        # The signature alone: the claims are looked at elsewhere, so that an error names the one
        # that is wrong.
        self._jwt = jwt.PyJWT(
            {f"verify_{claim}": False for claim in _REGISTERED}  # type: ignore[arg-type]
        )

    def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that is signed with a key we trust.

        Args:
            token: bounded in its length.

        Raises:
            KeysWanted: it may be, once the issuer's keys are fetched.
            Unavailable: it may be, and they cannot be fetched now.
            Unauthenticated: it is not.
        """
        if not token or not token.isascii():
            raise Unauthenticated("the token is not a JSON Web Token")
        if not self._algorithms:
            raise Unauthenticated(
                "a token came, but this server has no key to verify it with; connect without one"
            )
        _check_bounds(token)
        algorithm, key_id = self._header(token)
        candidates = [key for key in self._own if key.algorithm == algorithm]
        if self._issued is not None:
            candidates += self._issued.keys.candidates(key_id, algorithm)
        for key in candidates:
            try:
                return self._jwt.decode(token, key.key, algorithms=[key.algorithm])
            except jwt.InvalidSignatureError:
                continue
            except _MALFORMED:
                raise _malformed() from None
        raise self._refusal(algorithm, key_id)

    def _header(self, token: str) -> tuple[str, str | None]:
        """Return a token's algorithm and the name of its key."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm, key_id = header.get("alg"), header.get("kid")
        except _MALFORMED:
            raise _malformed() from None
        # RFC 7515, 4.1.11: "If any of the listed extension Header Parameters are not understood
        # and supported by the recipient, then the JWS is invalid."
        if "crit" in header:
            raise Unauthenticated("the token's header has 'crit', which is not supported")
        if algorithm not in self._algorithms:
            allowed = self._algorithms
            is_or_are = "is" if len(allowed) == 1 else "are"
            raise Unauthenticated(
                "the token is signed with another algorithm; "
                f"allowed {is_or_are} {', '.join(allowed)}"
            )
        return algorithm, key_id

    def _refusal(self, algorithm: str, key_id: str | None) -> Unauthenticated | Unavailable:
        issued = self._issued
        if (
            issued is not None
            and algorithm in _ISSUED_ALGORITHMS
            # A token without `kid` may be meant for a key that is new.
            and not issued.keys.names(key_id)
        ):
            if issued.may_change:
                return KeysWanted(issued.refreshed)
            if issued.failing:
                return Unavailable(
                    "the keys that tokens are verified with cannot be fetched now; retry later"
                )
            if key_id is not None:
                return Unauthenticated(
                    f"the token's key (kid) is {shown(key_id)}, which the issuer does not have",
                    "the token's key (kid) is not one of the issuer's",
                )
        return Unauthenticated("the token's signature does not match")


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


def _malformed() -> Unauthenticated:
    return Unauthenticated("the token is not a valid JSON Web Token")
