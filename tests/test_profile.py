"""What production has by default, and with what it does not start."""

from typing import Any

import pytest

from app.config import Settings
from app.errors import ConfigurationError
from app.profile import PRODUCTION, check_profile

SECRET = "Zr8tQy0mVJx3nE5uKc7wHd2bLf9gSa4p"
OTHER = "T4hGk2WqYb8sXe6vMd0rNc5jPz1uAf7L"


def test_production_has_defaults_of_its_own() -> None:
    settings = Settings(env="production", jwt_secret=SECRET)
    assert {name: getattr(settings, name) for name in PRODUCTION} == dict(PRODUCTION)
    development = Settings(jwt_secret=SECRET)
    for name, value in PRODUCTION.items():
        assert getattr(development, name) == Settings.model_fields[name].default != value


def test_each_of_them_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDGETWIRE_ENV", "production")
    monkeypatch.setenv("WIDGETWIRE_ANONYMOUS", "allow")
    monkeypatch.setenv("WIDGETWIRE_GRAPHIQL", "true")
    monkeypatch.setenv("WIDGETWIRE_PROJECT_SEARCHES_PER_SECOND", "0")
    settings = Settings()
    assert (settings.anonymous, settings.graphiql) == ("allow", True)
    assert settings.project_searches_per_second == 0
    assert settings.introspection is False


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        (
            {},
            [
                "WIDGETWIRE_JWT_SECRET, WIDGETWIRE_JWT_PUBLIC_KEY or WIDGETWIRE_JWKS_URL: expected "
                "one, got none, and nobody could publish; for a service without accounts, set "
                "WIDGETWIRE_ANONYMOUS=allow"
            ],
        ),
        (
            {"jwt_secret": "a secret of thirty-two bytes, at least"},
            [
                "WIDGETWIRE_JWT_SECRET: expected a random secret in production, got one that is "
                "made of well-known words; make one with: openssl rand -base64 48"
            ],
        ),
        (
            {"jwt_secret": SECRET, "client_secret": f"{OTHER},{'ab' * 20}"},
            [
                "WIDGETWIRE_CLIENT_SECRET: expected a random secret in production, got one that "
                "repeats itself; make one with: openssl rand -base64 48"
            ],
        ),
        (
            {"jwt_secret": SECRET, "client_secret": SECRET},
            [
                "WIDGETWIRE_CLIENT_SECRET: expected another secret than WIDGETWIRE_JWT_SECRET, "
                "got the same"
            ],
        ),
        (
            {"anonymous": "allow", "trusted_proxies": "10.0.0.1,0.0.0.0/0,::/0"},
            [
                "WIDGETWIRE_TRUSTED_PROXIES: expected the addresses of your proxies, got "
                f"{network}: everybody could pass for any address"
                for network in ("0.0.0.0/0", "::/0")
            ],
        ),
        (
            {"jwt_secret": "a" * 32, "trusted_proxies": "::/0"},
            [
                "WIDGETWIRE_JWT_SECRET: expected a random secret in production, got one that "
                "repeats itself; make one with: openssl rand -base64 48",
                "WIDGETWIRE_TRUSTED_PROXIES: expected the addresses of your proxies, got ::/0: "
                "everybody could pass for any address",
            ],
        ),
    ],
)
def test_production_does_not_start_with_what_is_unsafe(
    settings: dict[str, Any], problems: list[str]
) -> None:
    """Each problem is a line of its own, and shows no secret."""
    with pytest.raises(ConfigurationError) as raised:
        check_profile(Settings(env="production", **settings))
    assert str(raised.value).splitlines() == problems


@pytest.mark.parametrize(
    "settings",
    [
        {"jwt_secret": SECRET},
        {"jwt_secret": SECRET, "client_secret": OTHER, "anonymous": "deny"},
        {"anonymous": "allow"},
        {"jwks_url": "https://issuer.example/keys"},
        {"jwt_secret": SECRET, "allowed_origins": "*", "trusted_proxies": "10.0.0.0/8"},
    ],
)
def test_production_starts_with_what_is_said_and_safe(settings: dict[str, Any]) -> None:
    check_profile(Settings(env="production", **settings))


def test_development_takes_any_secret_of_its_length() -> None:
    check_profile(Settings(jwt_secret="a" * 32))
