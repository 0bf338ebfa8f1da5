"""The two profiles of `WIDGETWIRE_ENV`: what a service in production has unless it is told
otherwise, and with what it does not start.

`app.config` takes the defaults when it reads the settings. Whoever starts a service asks
`check_profile`; commands that only touch the database do not.
"""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from app.errors import ConfigurationError
from app.setting_names import PREFIX
from app.weak_secrets import weakness

if TYPE_CHECKING:
    from app.config import Settings

__all__ = ["PRODUCTION", "check_profile"]

PRODUCTION: Final[Mapping[str, str | int | float | bool]] = {
    "anonymous": "read",
    "graphiql": False,
    "introspection": False,
    "max_connections_per_address": 1_000,
    "publisher_publishes_per_second": 20,
    "address_publishes_per_second": 200,
    "project_publishes_per_second": 5_000,
    "publisher_searches_per_second": 10,
    "address_searches_per_second": 200,
    "project_searches_per_second": 5_000,
}
"""Settings whose default is another one in production."""


def check_profile(settings: "Settings") -> None:
    """Return if a service with these settings may face those whom its profile is made for.

    Args:
        settings: of a service that is about to start; in development all are good.

    Raises:
        ConfigurationError: a line for each reason against it.
    """
    if settings.env == "production" and (problems := _problems(settings)):
        raise ConfigurationError("\n".join(problems))


def _problems(settings: "Settings") -> list[str]:
    problems = []
    signing = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
    named = [] if signing is None else [("JWT_SECRET", signing)]
    named += [("CLIENT_SECRET", secret) for secret in settings.client_secrets]
    for name, secret in named:
        if weak := weakness(secret):
            problems.append(
                f"{PREFIX}{name}: expected a random secret in production, got one that {weak}; "
                "make one with: openssl rand -base64 48"
            )
    if signing in settings.client_secrets:
        problems.append(
            f"{PREFIX}CLIENT_SECRET: expected another secret than {PREFIX}JWT_SECRET, got the same"
        )
    if settings.anonymous != "allow" and not settings.verifies_tokens:
        problems.append(
            f"{PREFIX}JWT_SECRET, {PREFIX}JWT_PUBLIC_KEY or {PREFIX}JWKS_URL: expected one, got "
            f"none, and nobody could publish; for a service without accounts, set "
            f"{PREFIX}ANONYMOUS=allow"
        )
    for proxy in settings.trusted_proxies:
        if ip_network(proxy).prefixlen == 0:
            problems.append(
                f"{PREFIX}TRUSTED_PROXIES: expected the addresses of your proxies, got {proxy}: "
                "everybody could pass for any address"
            )
    return problems
