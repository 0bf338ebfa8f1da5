"""What commands share: the settings, and the database while a command works on it."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.config import Settings

__all__ = ["database_of_command", "read_settings"]


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
