"""How tokens are verified in one process, as the settings say."""

from contextlib import AsyncExitStack
from functools import partial

from app.config import Settings
from app.services.client_ids import ClientIds
from app.transports.auth.authenticator import Authenticator
from app.transports.auth.claims import ClaimRules
from app.transports.auth.issued_keys import IssuedKeys
from app.transports.auth.jwks_fetch import JwksAddress, fetch
from app.transports.auth.keys import own_keys
from app.transports.auth.verification import Verification

__all__ = ["check_keys", "started_authenticator"]


def check_keys(settings: Settings) -> None:
    """Return if the settings name keys that can be used.

    Raises:
        ConfigurationError: one of them cannot.
    """
    _verification(settings, None)
    if settings.jwks_url is not None:
        JwksAddress.of(settings.jwks_url)


def started_authenticator(
    stack: AsyncExitStack, settings: Settings, client_ids: ClientIds
) -> Authenticator:
    """Return what turns tokens into viewers; it begins to fetch the issuer's keys.

    Args:
        stack: ends that.
        settings: see `check_keys`.
        client_ids: verifies client tokens.
    """
    issued = None
    if settings.jwks_url is not None:
        address = JwksAddress.of(settings.jwks_url)
        issued = IssuedKeys(str(address), partial(fetch, address))
    authenticator = Authenticator(
        _verification(settings, issued),
        rules=ClaimRules(settings.jwt_audience, settings.jwt_issuer),
        client_ids=client_ids,
        anonymous=settings.anonymous,
        max_token_bytes=settings.max_token_bytes,
    )
    if issued is not None:
        issued.on_withdrawn = authenticator.forget_verified
        issued.start()
        stack.push_async_callback(issued.stop)
    return authenticator


def _verification(settings: Settings, issued: IssuedKeys | None) -> Verification:
    secret = settings.jwt_secret
    return Verification(
        own_keys(None if secret is None else secret.get_secret_value(), settings.jwt_public_key),
        issued,
    )
