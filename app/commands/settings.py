"""What commands share: the settings, and the database while a command works on it."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.config import Settings

__all__ = ["check_service", "database_of_command", "read_settings"]


def read_settings() -> "Settings":
    """Return the settings; variables that are none are warned of.

    Raises:
        ConfigurationError: one is wrong.
    """
    from app.config import Settings, unknown_variables

    settings = Settings()
    for warning in unknown_variables(os.environ):
        typer.echo(f"widgetwire: {warning}", err=True)
    return settings


def check_service(settings: "Settings") -> None:
    """Return if a service with these settings can start: told before a database is started.

    Raises:
        ConfigurationError: a key or a listed document cannot be used, or the profile is against it.
    """
    from app.profile import check_profile

    # Not by `app.composition.tokens`: that loads all of the service, which the parent of its
    # workers is better without.
    if settings.jwt_public_key is not None:
        from app.transports.auth.keys import VerificationKey

        VerificationKey.from_pem(settings.jwt_public_key)
    if settings.jwks_url is not None:
        from app.transports.auth.jwks_fetch import JwksAddress

        JwksAddress.of(settings.jwks_url)
    check_profile(settings)
    if settings.documents_file is not None:
        from app.composition.executor import executor_of

        executor_of(settings)


@contextlib.contextmanager
def database_of_command(*, migrate: bool = False) -> Iterator["tuple[Settings, Settings]"]:
    """Hold the service's database, external or embedded, while a command works on it.

    Args:
        migrate: bring the schema up to date first.

    Yields:
        The settings as the operator gave them, and with the address of the database.

    Raises:
        ConfigurationError: a setting is wrong, or the schema is another version's.
        DatabaseUnreachable: it stayed away.
    """
    from app.process.database import ServiceDatabase
    from app.telemetry.logs import configure_logging

    given = read_settings()
    configure_logging(given.log_level, given.log_format)
    with ServiceDatabase(given) as database:
        settings = database.prepare(migrate=migrate)
        assert settings.database_url is not None, "it names the database"
        yield given, settings
