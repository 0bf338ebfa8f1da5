"""The command `widgetwire`.

Exit codes: 0 done, or ended as asked; 1 the service could not start, because of a database
that stayed away for one (the log says why); 2 a setting, an option or the surroundings must be
changed first (said in one line each).

Each command imports what it needs itself: `version` starts in a fifth of the time of `serve`.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from app import __version__
from app.commands.data import export_command, import_command, replay_command
from app.commands.database import backup_command, psql_command, restore_command
from app.domain.viewer import Permission
from app.errors import ConfigurationError, DatabaseUnreachable, StartupError, WidgetwireError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from app.config import SettingDescription, Settings

__all__ = ["main"]

FACTORY: Final = "app.composition:create_app"

_END_WITHIN_SECONDS: Final = 9.5
"""From SIGTERM to the end of the process, so that a supervisor waiting 10 s need not kill."""

_cli = typer.Typer(
    name="widgetwire",
    help="The realtime backend for interactive-video widgets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_indexes = typer.Typer(
    help="The indexes for what is searched: list them, or add and drop one by hand.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
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
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0: any free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes.")] = None,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Bring an external database's schema up to date.")
    ] = False,
    takeover: Annotated[
        bool,
        typer.Option("--takeover", help="Take the port over from the service running on it."),
    ] = False,
) -> None:
    """Serve until SIGTERM or Ctrl+C. Without a database URL, on an embedded Postgres."""
    import asyncio

    from app.process.database import ServiceDatabase
    from app.process.port import Port
    from app.process.server import raise_file_limit, run_server
    from app.process.supervisor import Supervisor
    from app.process.worker import server_options
    from app.profile import check_profile
    from app.setting_names import PREFIX
    from app.telemetry.logs import configure_logging

    for name, value in (("HOST", host), ("PORT", port), ("WORKERS", workers)):
        if value is not None:
            # Workers read the same environment.
            os.environ[PREFIX + name] = str(value)
    settings = _settings()
    configure_logging(settings.log_level, settings.log_format)
    _check_keys(settings)
    check_profile(settings)
    _check_documents(settings)
    raise_file_limit()
    with _ended_by_sigterm() as end:
        listening = Port.open(settings, os.environ, takeover=takeover)
        with ServiceDatabase(settings) as database:
            settings = database.prepare(migrate=migrate)
            end.come_if_asked()

            def ready() -> None:
                if end.asked:
                    signal.raise_signal(signal.SIGTERM)  # the server takes it now
                else:
                    listening.ready()
                    _announce(settings, listening.url)

            if settings.workers == 1:
                from app.composition import create_app

                asked = run_server(
                    create_app(settings),
                    listening.sockets[0],
                    server_options(settings),
                    on_ready=ready,
                )
            else:
                supervisor = Supervisor(
                    FACTORY,
                    listening.sockets,
                    grace_seconds=settings.shutdown_grace_seconds,
                    on_ready=ready,
                )
                asked = asyncio.run(supervisor.run())
            database.end_by = asked + _END_WITHIN_SECONDS


@_cli.command()
def migrate() -> None:
    """Bring the database's schema to this version's."""
    from app.process.database import ServiceDatabase
    from app.telemetry.logs import configure_logging

    settings = _settings()
    configure_logging(settings.log_level, settings.log_format)
    with ServiceDatabase(settings) as database:
        database.prepare(migrate=True)
    typer.echo("the schema is up to date")


@_cli.command()
def config(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Print each setting: value, default and meaning. Secrets are masked."""
    import dataclasses
    import json

    from app.profile import check_profile

    settings = _settings()
    _check_keys(settings)
    check_profile(settings)
    _check_documents(settings)
    descriptions = settings.describe()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(one) for one in descriptions], indent=2))
        return
    for one in descriptions:
        typer.echo(f"{one.variable}={_shown(one.value)}")
        typer.echo(f"    {one.meaning}{_defaults(one)}")


@_cli.command()
def token(
    sub: Annotated[str, typer.Option(help="Whom the token is for.")] = "developer",
    username: Annotated[
        str | None, typer.Option(help="The name on that user's messages; unset: the subject.")
    ] = None,
    project: Annotated[
        list[str] | None, typer.Option(help="A project it is good for; repeat it; unset: all.")
    ] = None,
    permission: Annotated[
        list[Permission] | None,
        typer.Option(help="What it grants; repeat it; unset: publish, subscribe, search."),
    ] = None,
    expires_in: Annotated[int, typer.Option(min=1, help="Seconds it is good for.")] = 3600,
) -> None:
    """Sign a token with WIDGETWIRE_JWT_SECRET, for trying out."""
    import jwt

    from app.setting_names import PREFIX
    from app.transports.auth.authenticator import Authenticator
    from app.transports.auth.claims import ClaimRules
    from app.transports.auth.keys import VerificationKey
    from app.transports.auth.verification import Verification

    settings = _settings()
    if settings.jwt_secret is None:
        for name in ("jwt_public_key", "jwks_url"):
            if getattr(settings, name) is not None:
                raise ConfigurationError(
                    f"{PREFIX}{name.upper()} verifies tokens and cannot sign them: sign with the "
                    "private key where your users log in"
                )
        raise ConfigurationError(
            f"{PREFIX}JWT_SECRET: expected at least 32 bytes to sign with, got nothing"
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


@_cli.command()
def erase(
    username: Annotated[str, typer.Option(help="The name on the messages, exactly.")],
    project: Annotated[
        str | None, typer.Option(help="Only in this project; unset: in all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all messages of one person, for good. Servers may run meanwhile."""
    import asyncio

    from app.process.database import ServiceDatabase
    from app.process.erasure import Person, erased, found, kept_bans, listed
    from app.telemetry.logs import configure_logging

    settings = _settings()
    configure_logging(settings.log_level, settings.log_format)
    person = Person(username, project)
    with ServiceDatabase(settings) as database:
        settings = database.prepare(migrate=False)
        assert settings.database_url is not None, "it names the database"
        traces = asyncio.run(found(settings.database_url, person))
        if not traces:
            typer.echo(f"there are no messages of {person}")
        elif not yes:
            typer.echo(listed(traces))
            if not sys.stdin.isatty():
                raise ConfigurationError("--yes: expected where nobody can be asked, got nothing")
            if not typer.confirm(f"erase these messages of {person} for good?"):
                typer.echo("nothing was erased")
                return
        # Also where there are none: an earlier erasure may have ended half way.
        gone = asyncio.run(erased(settings, person))
        bans = asyncio.run(kept_bans(settings.database_url, person))
    if gone:
        typer.echo(listed(gone))
        typer.echo(f"erased {sum(one.messages for one in gone)} messages of {person}")
    if bans:
        typer.echo(f"{bans} bans by that name stay in force; the mutation unban lifts them")


@_indexes.callback()
def list_indexes(context: typer.Context) -> None:
    """List the indexes for what is searched, and what waits for one."""
    if context.invoked_subcommand is None:
        from app.process.indexes import listed

        _on_database(listed)


@_indexes.command("add")
def add_index(
    paths: Annotated[
        list[str],
        typer.Argument(help="What is compared by equality, such as data.user; at most 4."),
    ],
    sort: Annotated[
        str | None, typer.Option(help="What is sorted by, or compared by order, besides.")
    ] = None,
) -> None:
    """Build an index while the service runs. The service never drops it by itself."""
    from app.process.indexes import added, parse_paths

    index = parse_paths(paths, sort)
    _on_database(lambda url: added(url, index))


@_indexes.command("drop")
def drop_index(
    name: Annotated[str, typer.Argument(help="As `widgetwire indexes` lists it.")],
) -> None:
    """Drop an index while the service runs."""
    from app.process.indexes import dropped

    _on_database(lambda url: dropped(url, name))


@_cli.command()
def schema() -> None:
    """Print the GraphQL schema (SDL)."""
    from app.schema import build_schema

    typer.echo(build_schema().as_str())


@_cli.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _on_database(work: "Callable[[str], Coroutine[None, None, str]]") -> None:
    """Do something with the service's database, external or embedded, and print what it says."""
    import asyncio

    from app.process.database import ServiceDatabase
    from app.telemetry.logs import configure_logging

    settings = _settings()
    configure_logging(settings.log_level, settings.log_format)
    with ServiceDatabase(settings) as database:
        url = database.prepare(migrate=False).database_url
        assert url is not None, "it names the database"
        typer.echo(asyncio.run(work(url)))


def _settings() -> "Settings":
    from app.config import Settings, unknown_variables

    settings = Settings()
    for warning in unknown_variables(os.environ):
        typer.echo(f"widgetwire: {warning}", err=True)
    return settings


def _check_keys(settings: "Settings") -> None:
    """Return if tokens can be verified as the settings say: told before anything starts."""
    if settings.jwt_public_key is not None:
        from app.transports.auth.keys import VerificationKey

        VerificationKey.from_pem(settings.jwt_public_key)
    if settings.jwks_url is not None:
        from app.transports.auth.jwks_fetch import JwksAddress

        JwksAddress.of(settings.jwks_url)


def _check_documents(settings: "Settings") -> None:
    """Read the listed documents, so that a bad one is told before a database is started."""
    if settings.documents_file is not None:
        from app.composition.executor import executor_of

        executor_of(settings)


def _announce(settings: "Settings", url: str) -> None:
    lines = [f"widgetwire is ready on {url}"]
    if sys.stdout.isatty():
        if settings.pages:
            lines += [f"  try it      {url}/", f"  GraphiQL    {url}/graphql"]
        lines += [f"  data        {settings.data_dir}", "  stop        Ctrl+C"]
    typer.echo("\n".join(lines))
    sys.stdout.flush()


def _defaults(one: "SettingDescription") -> str:
    """Return what the default is, where it is not the value or depends on the profile."""
    default = _shown(one.default) or "unset"
    if one.production_default != one.default:
        return f" (default: {default}, in production: {_shown(one.production_default)})"
    return "" if one.value == one.default else f" (default: {default})"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


class _End:
    """Whether SIGTERM came before the server was up.

    Python drops an exception that is raised in a finalizer or a weak reference's callback, and a
    signal may come right there: then the service went on to start, and nobody asked it again.
    """

    asked = False

    def ask(self, _number: int, _frame: FrameType | None) -> NoReturn:
        self.asked = True
        raise KeyboardInterrupt

    def come_if_asked(self) -> None:
        if self.asked:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[_End]:
    """Make SIGTERM before the server is up an end in order, like Ctrl+C: exit 0."""
    end = _End()
    signal.signal(signal.SIGTERM, end.ask)
    try:
        yield end
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
