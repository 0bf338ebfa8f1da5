"""`widgetwire erase`: all messages of one person, for good."""

import sys
from typing import Annotated

import typer

from app.commands.settings import database_of_command
from app.errors import ConfigurationError

__all__ = ["erase_command"]


def erase_command(
    username: Annotated[str, typer.Option(help="The exact username on the messages.")],
    project: Annotated[
        str | None, typer.Option(help="Erase only in this project; default: in all projects.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Permanently delete all messages of a user. Safe while servers run."""
    import asyncio

    from app.process.erasure import Person, erased, found, kept_bans, listed

    person = Person(username, project)
    with database_of_command() as (_, settings):
        assert settings.database_url is not None, "it names the database"
        traces = asyncio.run(found(settings.database_url, person))
        if not traces:
            typer.echo(f"no messages of {person} found")
        elif not yes:
            typer.echo(listed(traces))
            if not sys.stdin.isatty():
                raise ConfigurationError("--yes: required when standard input is not a terminal")
            if not typer.confirm(f"permanently erase these messages of {person}?"):
                typer.echo("nothing was erased")
                return
        # Also where there are none: an earlier erasure may have ended half way.
        gone = asyncio.run(erased(settings, person))
        bans = asyncio.run(kept_bans(settings.database_url, person))
    if gone:
        typer.echo(listed(gone))
        typer.echo(f"erased {sum(one.messages for one in gone)} messages of {person}")
    if bans:
        typer.echo(
            f"{bans} bans of this username remain active; use the mutation unban to remove them"
        )
