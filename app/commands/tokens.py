"""`widgetwire token`: tokens for development, signed with the service's own secret."""

import time
from typing import Annotated

import typer

from app.commands.settings import read_settings
from app.domain.viewer import Permission
from app.errors import ConfigurationError, WidgetwireError

__all__ = ["token_command"]


def token_command(
    sub: Annotated[str, typer.Option(help="The user's id (the claim sub).")] = "developer",
    username: Annotated[
        str | None,
        typer.Option(help="The username shown on the user's messages; default: the user's id."),
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option(help="A project the token is valid for; repeatable; default: all projects."),
    ] = None,
    permission: Annotated[
        list[Permission] | None,
        typer.Option(
            help="A permission to grant; repeatable; default: publish, subscribe, search."
        ),
    ] = None,
    expires_in: Annotated[int, typer.Option(min=1, help="Lifetime in seconds.")] = 3600,
) -> None:
    """Sign a token with WIDGETWIRE_JWT_SECRET, for development."""
    import jwt

    from app.setting_names import PREFIX
    from app.transports.auth.authenticator import Authenticator
    from app.transports.auth.claims import ClaimRules
    from app.transports.auth.keys import VerificationKey
    from app.transports.auth.verification import Verification

    settings = read_settings()
    if settings.jwt_secret is None:
        for name in ("jwt_public_key", "jwks_url"):
            if getattr(settings, name) is not None:
                raise ConfigurationError(
                    f"{PREFIX}{name.upper()} can verify tokens but not sign them: sign tokens "
                    "with the private key in your login service"
                )
        raise ConfigurationError(
            f"{PREFIX}JWT_SECRET: expected a secret of at least 32 bytes, got nothing"
        )
    secret = settings.jwt_secret.get_secret_value()
    now = int(time.time())
    claims: dict[str, object] = {"sub": sub, "iat": now, "exp": now + expires_in}
    if username is not None:
        claims["username"] = username
    if project:
        claims["projects"] = project
    if permission:
        claims["permissions"] = [str(one) for one in permission]
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience[0]
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer[0]
    signed = jwt.encode(claims, secret, algorithm="HS256")
    try:
        Authenticator(
            Verification([VerificationKey.from_secret(secret)]),
            rules=ClaimRules(settings.jwt_audience, settings.jwt_issuer),
            max_token_bytes=settings.max_token_bytes,
        ).viewer(signed)
    except WidgetwireError as error:
        raise ConfigurationError(str(error)) from None
    typer.echo(signed)
