"""`widgetwire serve`: the service, from its settings to the end of its process."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from app.commands.settings import check_service, read_settings

if TYPE_CHECKING:
    from app.config import Settings

__all__ = ["serve_command"]

_FACTORY: Final = "app.composition:create_app"

_END_WITHIN_SECONDS: Final = 9.5
"""From SIGTERM to the end of the process, so that a supervisor waiting 10 s need not kill."""


def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 picks a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of server processes.")] = None,
    migrate: Annotated[
        bool,
        typer.Option(
            "--migrate", help="Migrate the schema of an external database before starting."
        ),
    ] = False,
    takeover: Annotated[
        bool,
        typer.Option("--takeover", help="Take the port over from the service running on it."),
    ] = False,
) -> None:
    """Start the server. Without a database URL it runs an embedded PostgreSQL."""
    import asyncio

    from app.process.database import ServiceDatabase
    from app.process.port import Port
    from app.process.server import raise_file_limit, run_server
    from app.process.supervisor import Supervisor
    from app.process.worker import server_options
    from app.setting_names import PREFIX
    from app.telemetry.logs import configure_logging

    for name, value in (("HOST", host), ("PORT", port), ("WORKERS", workers)):
        if value is not None:
            # Workers read the same environment.
            os.environ[PREFIX + name] = str(value)
    settings = read_settings()
    configure_logging(settings.log_level, settings.log_format)
    check_service(settings)
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
                    _FACTORY,
                    listening.sockets,
                    grace_seconds=settings.shutdown_grace_seconds,
                    on_ready=ready,
                )
                asked = asyncio.run(supervisor.run())
            database.end_by = asked + _END_WITHIN_SECONDS


def _announce(settings: "Settings", url: str) -> None:
    lines = [f"widgetwire is ready on {url}"]
    if sys.stdout.isatty():
        if settings.pages:
            lines += [f"  demo        {url}/", f"  GraphiQL    {url}/graphql"]
        lines += [f"  data        {settings.data_dir}", "  stop        Ctrl+C"]
    typer.echo("\n".join(lines))
    sys.stdout.flush()


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
