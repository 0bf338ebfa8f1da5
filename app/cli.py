"""The command `widgetwire`.

Exit codes: 0 done, or ended as asked; 1 the service could not start, because of a database
that stayed away for one (the log says why); 2 a setting, an option or the surroundings must be
changed first (said in one line each).

Here they are put together; what they do is in `app.commands`. Each imports what it needs itself:
`version` starts in a fifth of the time of `serve`.
"""

import sys
from typing import NoReturn

import typer

from app import __version__
from app.commands.config import config_command
from app.commands.data import export_command, import_command, replay_command
from app.commands.database import (
    backup_command,
    migrate_command,
    psql_command,
    restore_command,
)
from app.commands.erase import erase_command
from app.commands.indexes import add_index, drop_index, list_indexes
from app.commands.serve import serve_command
from app.commands.tokens import token_command
from app.errors import ConfigurationError, DatabaseUnreachable, StartupError

__all__ = ["main"]

_cli = typer.Typer(
    name="widgetwire",
    help="A realtime backend for interactive-video widgets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_indexes = typer.Typer(
    help="Search indexes: list them, add one or drop one.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
_indexes.callback()(list_indexes)
_indexes.command("add")(add_index)
_indexes.command("drop")(drop_index)

_cli.command("serve")(serve_command)
_cli.command("migrate")(migrate_command)
_cli.command("config")(config_command)
_cli.command("token")(token_command)
_cli.command("erase")(erase_command)
_cli.add_typer(_indexes, name="indexes")
_cli.command("export")(export_command)
_cli.command("import")(import_command)
_cli.command("replay")(replay_command)
_cli.command("backup")(backup_command)
_cli.command("restore")(restore_command)
_cli.command("psql", context_settings={"ignore_unknown_options": True})(psql_command)


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        _cli()
    except ConfigurationError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"widgetwire: {line}\n")
        # A database that is down needs no other setting: starting again may well help.
        sys.exit(1 if isinstance(error, DatabaseUnreachable) else 2)
    except StartupError:
        sys.exit(1)
    sys.exit(0)


@_cli.command()
def schema() -> None:
    """Print the GraphQL schema (SDL)."""
    from app.schema import build_schema

    typer.echo(build_schema().as_str())


@_cli.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


if __name__ == "__main__":
    main()
