"""From a token to a `Viewer`: the one place that decides who is asking.

Every transport passes it. A bad token is an error, never an anonymous viewer.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal

from app.defaults import MAX_TOKEN_BYTES
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import TokenExpired, Unauthenticated
from app.services.client_ids import ClientIds
from app.transports.auth.claims import ClaimRules, check_not_expired
from app.transports.auth.verification import KeysWanted, Verification

__all__ = ["AnonymousPolicy", "Authenticator", "viewer_with_keys"]

AnonymousPolicy = Literal["allow", "read", "deny"]

_CACHED_VIEWERS: Final = 4096
_CACHED_CHARACTERS: Final = 2 * 1024 * 1024
"""Of all cached tokens; a token and its viewer take up to sixteen times the token's length."""

_ANONYMOUS: Final[Mapping[AnonymousPolicy, frozenset[Permission]]] = {
    "allow": DEFAULT_PERMISSIONS,
    "read": frozenset({Permission.SUBSCRIBE, Permission.SEARCH}),
    "deny": frozenset(),
}


class Authenticator:
    """Turns tokens into viewers.

    Args:
        verification: verifies tokens of users; None: none is accepted.
        rules: what their claims must say.
        client_ids: verifies client tokens; None: no client token is accepted.
        anonymous: what a viewer without a token may do.
        max_token_bytes: longest token looked at; a longer one is refused unread.
    """

    def __init__(
        self,
        verification: Verification | None = None,
        *,
        rules: ClaimRules | None = None,
        client_ids: ClientIds | None = None,
        anonymous: AnonymousPolicy = "allow",
        max_token_bytes: int = MAX_TOKEN_BYTES,
    ) -> None:
        self._verification = verification or Verification()
        self._rules = rules or ClaimRules()
        self._client_ids = client_ids
        self._max_token_bytes = max_token_bytes
        self._denied = anonymous == "deny"
        self._anonymous = Viewer(None, _ANONYMOUS[anonymous], anonymous=True)
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
            KeysWanted: the token's key has to be fetched first: see `viewer_with_keys`.
            Unavailable: it cannot be fetched now.
        """
        viewer = self._holder(token)
        if client_token is None:
            return viewer
        if self._client_ids is None:
            raise Unauthenticated("a client token came, and none is accepted here")
        return replace(viewer, client_id=self._client_ids.verified(client_token))

    def forget_verified(self) -> None:
        """Verify every token anew when it comes next: a key is trusted no more."""
        self._verified.clear()
        self._verified_characters = 0

    def _holder(self, token: str | None) -> Viewer:
        if token is None:
            if self._denied:
                raise Unauthenticated("a token is needed and none came")
            return self._anonymous
        known = self._verified.get(token)
        if known is None:
            return self._remember(token, self._verify(token))
        try:
            check_not_expired(known.expires_at, time.time())
        except TokenExpired:
            self._forget(token)
            raise
        return known

    def _verify(self, token: str) -> Viewer:
        # Characters are at least one byte each, so this bounds the bytes as well; what is not
        # ASCII is no token.
        if len(token) > self._max_token_bytes:
            raise Unauthenticated(
                f"the token has {len(token)} bytes; allowed are {self._max_token_bytes}",
                f"the token has more than {self._max_token_bytes} bytes",
            )
        return self._rules.viewer(self._verification.claims(token), time.time())

    def _remember(self, token: str, viewer: Viewer) -> Viewer:
        self._verified[token] = viewer
        self._verified_characters += len(token)
        while (
            len(self._verified) > _CACHED_VIEWERS or self._verified_characters > _CACHED_CHARACTERS
        ):
            self._forget(next(iter(self._verified)))
        return viewer

    def _forget(self, token: str) -> None:
        del self._verified[token]
        self._verified_characters -= len(token)


async def viewer_with_keys(
    viewer_of: Callable[[str | None, str | None], Viewer],
    token: str | None,
    client_token: str | None,
) -> Viewer:
    """Return who holds the tokens; waits where the token's key has to be fetched first.

    Args:
        viewer_of: `Authenticator.viewer`.
        token: as it takes them.
        client_token: the same.

    Raises:
        As `viewer_of`. Keys that cannot be fetched are `Unavailable`.
    """
    try:
        return viewer_of(token, client_token)
    except KeysWanted as wanted:
        await wanted.fetched()
        return viewer_of(token, client_token)
