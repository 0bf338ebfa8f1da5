"""Client ids that the server signs: whoever sends the token of one has proven that it is theirs.

The one signing place. A token is a JSON Web Signature (RFC 7515, HS256) of the client id and of
when it was issued and expires. It is never taken for a token of a user, nor the other way round:
its key is derived from the secret for this purpose alone, and its header names the purpose
(RFC 8725, 3.11: "Use Explicit Typing").
"""

import base64
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import jwt
import msgspec

from app.domain.viewer import SIGNED_PREFIX, Viewer
from app.errors import TokenExpired, Unauthenticated

__all__ = ["CLIENT_TOKEN_SECONDS", "MAX_CLIENT_TOKEN", "ClientIds", "SignedClient"]

CLIENT_TOKEN_SECONDS: Final = 400 * 24 * 3600
"""How long a token is good; longer than browsers keep what a page stores."""
MAX_CLIENT_TOKEN: Final = 512
"""Characters; one has about 200. A longer one is refused unread."""

_ID_BYTES: Final = 16
"""Of chance in a client id: nobody guesses one, and no two are alike."""
_ALGORITHM: Final = "HS256"
_TYPE: Final = "widgetwire-client+jwt"
_PURPOSE: Final = b"widgetwire client token 1"
_KEPT: Final = 4096
"""Tokens whose signatures are known to be good; the oldest goes first."""


class SignedClient(NamedTuple):
    """A client id, and what proves it."""

    id: str
    token: str


class _Claims(msgspec.Struct, frozen=True):
    client_id: str
    exp: int


_claims: Final = msgspec.json.Decoder(_Claims)


class ClientIds:
    """Makes client ids, signs them and verifies their tokens.

    Args:
        signing: the secrets, of 32 bytes or more each: the first signs, all verify, so that one
            can be replaced without a token that is refused.
        clock: seconds since the Unix epoch.
    """

    def __init__(self, signing: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._keys = [hmac.digest(one.encode(), _PURPOSE, "sha256") for one in signing]
        self._clock = clock
        self._jws = jwt.PyJWS(algorithms=[_ALGORITHM])
        self._verified: dict[str, tuple[str, int]] = {}

    def new_id(self) -> str:
        """Return a client id that nobody else has."""
        return SIGNED_PREFIX + secrets.token_urlsafe(_ID_BYTES)

    def signed(self, client_id: str) -> SignedClient:
        """Return a client id with a token that is good from now on, for 400 days.

        Args:
            client_id: one that `new_id` made.
        """
        now = int(self._clock())
        claims = {"client_id": client_id, "iat": now, "exp": now + CLIENT_TOKEN_SECONDS}
        token = self._jws.encode(
            msgspec.json.encode(claims), self._keys[0], _ALGORITHM, {"typ": _TYPE}
        )
        return SignedClient(client_id, token)

    def offered(self, viewer: Viewer) -> SignedClient | None:
        """Return the viewer's client id with a renewed token.

        Returns:
            A new one for a viewer without; None for one that a token's subject names already.
        """
        if viewer.client_id is not None:
            return self.signed(viewer.client_id)
        return self.signed(self.new_id()) if viewer.subject is None else None

    def verified(self, token: str) -> str:
        """Return the client id that a token proves.

        Raises:
            TokenExpired: it was good once.
            Unauthenticated: it is none of this server's. Both texts begin with "the client token":
                a client that sent a token of a user too learns which one to replace.
        """
        known = self._verified.get(token)
        if known is None:
            known = self._verified[token] = self._read(token)
            if len(self._verified) > _KEPT:
                del self._verified[next(iter(self._verified))]
        client_id, expires_at = known
        if expires_at <= self._clock():
            self._verified.pop(token, None)
            raise TokenExpired("the client token has expired; request a new one without it")
        return client_id

    def _read(self, token: str) -> tuple[str, int]:
        if len(token) > MAX_CLIENT_TOKEN:
            raise Unauthenticated(
                f"the client token has {len(token)} characters; allowed: {MAX_CLIENT_TOKEN}",
                f"the client token has more than {MAX_CLIENT_TOKEN} characters",
            )
        if not token or not token.isascii():
            raise _no_token()
        try:
            purpose = self._jws.get_unverified_header(token).get("typ")
        # Its parser meets arbitrary text.
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError):
            raise _no_token() from None
        if purpose != _TYPE:
            raise Unauthenticated(
                "the client token is another kind of token; expected a clientToken from this server"
            )
        for key in self._keys:
            try:
                read = self._jws.decode_complete(token, key, [_ALGORITHM])
            except jwt.InvalidSignatureError:
                continue
            except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError):
                raise _no_token() from None
            if not _is_canonical(token, read["signature"]):
                break
            try:
                claims = _claims.decode(read["payload"])
            except msgspec.DecodeError:
                raise _no_token() from None
            return claims.client_id, claims.exp
        raise Unauthenticated(
            "the client token's signature is invalid: it was signed by another server or with a "
            "retired secret; request a new one without it"
        )


def _is_canonical(token: str, signature: bytes) -> bool:
    # One signature has many spellings for a lenient base64 decoder; each would be kept as another.
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode() == token.rpartition(".")[2]


def _no_token() -> Unauthenticated:
    return Unauthenticated("the client token is malformed; expected a clientToken from this server")
