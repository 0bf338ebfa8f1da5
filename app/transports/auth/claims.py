"""What a token says: its claims, and the viewer they make. The signature was verified before."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import TokenExpired, Unauthenticated

__all__ = ["LEEWAY_SECONDS", "ClaimRules", "check_not_expired"]

LEEWAY_SECONDS: Final = 60
"""Clocks of issuer and server may differ by this much."""
_MAX_NAME: Final = 256
"""Longest `sub` or user name, in characters: the name is stored with every message."""
_MAX_PROJECTS: Final = 1000
_FAR: Final = 1e12
"""Seconds since 1970 past which a claim is no time; also what keeps `float` from overflowing."""
_PERMISSIONS: Final = ", ".join(Permission)


class ClaimRules:
    """What claims must say.

    Args:
        audiences: one of them must be in `aud`; empty: `aud` is not looked at.
        issuers: `iss` must be one of them; empty: `iss` is not looked at.
    """

    def __init__(self, audiences: Sequence[str] = (), issuers: Sequence[str] = ()) -> None:
        self._audiences = frozenset(audiences)
        self._issuers = frozenset(issuers)

    def viewer(self, claims: Mapping[str, object], now: float) -> Viewer:
        """Return the viewer that a token's claims make.

        Args:
            claims: of a token whose signature matches.
            now: seconds since the Unix epoch.

        Raises:
            TokenExpired: its time is over.
            Unauthenticated: its time has not come, it is for somebody else or by somebody else, or
                a claim is of the wrong type. The text names the claim.
        """
        expires_at, not_before = _time(claims, "exp"), _time(claims, "nbf")
        check_not_expired(expires_at, now)
        if not_before is not None and not_before - LEEWAY_SECONDS > now:
            raise Unauthenticated("the token is not valid yet (nbf)")
        self._check_issuer(claims.get("iss"))
        self._check_audience(claims.get("aud"))
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

    def _check_issuer(self, issuer: object) -> None:
        # Not a look-up: what came may be a list.
        if self._issuers and not (isinstance(issuer, str) and issuer in self._issuers):
            raise _wrong_claim("iss", _one_of(self._issuers))

    def _check_audience(self, audience: object) -> None:
        """Return if the token is for this service.

        RFC 7519, 4.1.3: "In the special case when the JWT has one audience, the "aud" value MAY
        be a single case-sensitive string".
        """
        if not self._audiences:
            return
        named = audience if isinstance(audience, list) else [audience]
        if not all(isinstance(one, str) for one in named) or self._audiences.isdisjoint(named):
            raise _wrong_claim("aud", f"{_one_of(self._audiences)}, or a list with it")


def check_not_expired(expires_at: float | None, now: float) -> None:
    """Return if a token's time is not over.

    Args:
        expires_at: its `exp`; None: it has none.
        now: seconds since the Unix epoch.

    Raises:
        TokenExpired: it is, by more than the leeway.
    """
    if expires_at is not None and expires_at + LEEWAY_SECONDS <= now:
        raise TokenExpired("the token has expired")


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


def _one_of(texts: frozenset[str]) -> str:
    return " or ".join(repr(text) for text in sorted(texts))


def _wrong_claim(claim: str, allowed: str) -> Unauthenticated:
    return Unauthenticated(f"the token's claim {claim!r} is wrong; allowed is {allowed}")
