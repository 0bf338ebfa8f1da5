"""`widgetwire migrate`, `backup`, `restore` and `psql`: the service's database as a whole."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.settings import database_of_command
from app.errors import ConfigurationError

if TYPE_CHECKING:
    from app.config import Settings
    from app.process.postgres_tools import PostgresTools

__all__ = ["backup_command", "migrate_command", "psql_command", "restore_command"]


def migrate_command() -> None:
    """Migrate the schema of the database to this version."""
    with database_of_command(migrate=True):
        pass
    typer.echo("The schema is up to date.")


def backup_command(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
) -> None:
    """Write the whole database to a file, as compressed SQL. The service may run meanwhile."""
    if file.exists():
        raise ConfigurationError(f"{file} exists: remove it, or name another file")
    part = file.with_name(f"{file.name}.part")
    with database_of_command() as (given, settings):
        try:
            # It holds secrets and what users wrote: a file that somebody has put there is not
            # written to, nor a link of theirs followed.
            part.unlink(missing_ok=True)
            number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{part}: {error.strerror}") from None
        with os.fdopen(number, "wb") as output:
            whole = _tools(given, settings).dump(output)
        if not whole:
            part.unlink()
            raise ConfigurationError("the backup was not written; pg_dump said why")
    part.rename(file)
    typer.echo(f"wrote {file}: {file.stat().st_size} bytes")


def restore_command(
    file: Annotated[Path, typer.Argument(help="As backup has written it.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where the database has messages.")
    ] = False,
) -> None:
    """Replace all that the database has by a backup. No service may run on it."""
    import asyncio

    from app.process.postgres_tools import others_connected, stored_anything
    from app.storage.migrations import migrate

    with database_of_command(migrate=True) as (given, settings):
        url = settings.database_url
        assert url is not None
        if not replace and asyncio.run(stored_anything(url)):
            raise ConfigurationError(
                "the database has channels already: --replace deletes them all for the backup's"
            )
        if others := asyncio.run(others_connected(url)):
            raise ConfigurationError(
                f"others have {others} connections to the database: stop the services that use it"
            )
        try:
            opened = file.open("rb")
        except OSError as error:
            raise ConfigurationError(f"{file}: {error.strerror}") from None
        with opened:
            try:
                restored = _tools(given, settings).load(opened)
            except ConfigurationError as error:
                raise ConfigurationError(f"{file}: {error}; nothing was changed") from None
            if not restored:
                raise ConfigurationError("nothing was changed; what PostgreSQL says is above")
        # A backup of an earlier version has an earlier schema.
        asyncio.run(migrate(url))
    typer.echo(f"restored {file}")


def psql_command(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="For psql, such as -c 'SELECT 1'.")
    ] = None,
) -> None:
    """Open psql on the service's database, the embedded one too, while the service runs."""
    with database_of_command() as (given, settings):
        code = _tools(given, settings).psql(arguments or [])
    sys.exit(code)


def _tools(given: "Settings", settings: "Settings") -> "PostgresTools":
    from app.process.postgres_tools import PostgresTools

    assert settings.database_url is not None
    embedded = given.database_url is None
    return PostgresTools(settings.database_url, given.data_dir if embedded else None)
