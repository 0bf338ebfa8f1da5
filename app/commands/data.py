"""`widgetwire export`, `import` and `replay`: messages to files and back."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final, Literal

import typer

from app.commands.settings import database_of_command
from app.errors import ConfigurationError

if TYPE_CHECKING:
    from app.storage.transfer import FileForm

__all__ = ["export_command", "import_command", "replay_command"]

_SHOWN_BAD_LINES: Final = 20
_STDIO: Final = Path("-")


class Form(StrEnum):
    """The form of a file's lines."""

    JSONL = "jsonl"
    CSV = "csv"


_Format = Annotated[
    Form | None,
    typer.Option("--format", help="Format of the file; default: csv for *.csv, otherwise jsonl."),
]


def export_command(
    project: Annotated[str, typer.Argument(help="The target project.")],
    widget: Annotated[
        str | None, typer.Argument(help="Export only this widget; default: the whole project.")
    ] = None,
    to: Annotated[Path, typer.Option(help="Output file; - is standard output.")] = _STDIO,
    form: _Format = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted export.")
    ] = False,
) -> None:
    """Export stored messages to a file, one per line. Safe while the service runs."""
    import asyncio

    from app.process.moving.exporting import export_messages, what_is_exported
    from app.process.moving.reading import form_of

    what_is_exported(project, widget)
    if to == _STDIO and resume:
        raise ConfigurationError("--resume: expected an output file, got standard output")
    if to != _STDIO and to.exists() and not resume:
        raise ConfigurationError(
            f"--to: {to} already exists: remove it, or continue it with --resume"
        )
    resumed = to if resume and to.exists() else None
    with (
        database_of_command() as (_, settings),
        _opened(to, "ab") as file,
        _progress("exporting") as bar,
    ):
        assert settings.database_url is not None
        lines = asyncio.run(
            export_messages(
                settings.database_url,
                project,
                widget,
                form_of(to, _form(form)),
                file,
                resumed=resumed,
                began=bar.length,
                wrote=bar.went_on,
            )
        )
    typer.echo(f"exported {lines} messages", err=True)


def import_command(
    file: Annotated[Path, typer.Argument(help="Input file; - is standard input.")],
    into: Annotated[str, typer.Option(help="The target project.")],
    widget: Annotated[
        str | None,
        typer.Option(help=("Publish everything to this widget; default: the widget of each line.")),
    ] = None,
    form: _Format = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Skip bad lines; default: stop at the first one.")
    ] = False,
) -> None:
    """Import messages with their ids, times and usernames. Run it again to continue."""
    import asyncio

    from app.process.moving.exporting import what_is_exported
    from app.process.moving.importing import Importing
    from app.process.moving.reading import form_of, read_lines

    what_is_exported(into, widget)
    shown = 0

    def bad(number: int, why: str) -> None:
        nonlocal shown
        shown += 1
        if shown <= _SHOWN_BAD_LINES:
            typer.echo(f"line {number}: {why}", err=True)
        elif shown == _SHOWN_BAD_LINES + 1:
            typer.echo("further bad lines are counted, not shown", err=True)

    with (
        _opened(file, "rb") as lines,
        database_of_command() as (_, settings),
        _progress("importing") as bar,
    ):
        assert settings.database_url is not None
        if file != _STDIO:
            bar.length(os.fstat(lines.fileno()).st_size)
        importing = Importing(
            settings.database_url,
            into,
            widget,
            skip_bad=skip_bad,
            bad=bad,
            went_on=bar.went_on,
        )
        read = read_lines(lines, form_of(file, _form(form)), settings.max_data_bytes)
        try:
            whole = asyncio.run(importing.store(read))
        finally:
            told = importing.told
            typer.echo(
                f"imported {told.stored} messages; {told.known} existed already; {told.refused} "
                "bad lines",
                err=True,
            )
    if not whole:
        raise ConfigurationError(
            "import stopped at a bad line: fix the line and start again, or skip bad lines with "
            "--skip-bad; messages imported so far are kept"
        )


def replay_command(
    file: Annotated[Path, typer.Argument(help="A file written by export.")],
    into: Annotated[str, typer.Option(help="The target project; use one for tests.")],
    widget: Annotated[
        str | None,
        typer.Option(help=("Publish everything to this widget; default: the widget of each line.")),
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            min=0.01, max=100_000, help=("1 is the original speed, 10 is ten times as fast.")
        ),
    ] = 1.0,
    form: _Format = None,
) -> None:
    """Publish a recorded event again with its original timing, while the service runs."""
    import asyncio

    from app.process.moving.exporting import what_is_exported
    from app.process.moving.reading import form_of, read_lines
    from app.process.moving.replaying import recording_of, replay

    what_is_exported(into, widget)
    with database_of_command() as (_, settings):
        with _opened(file, "rb") as lines:
            read = read_lines(lines, form_of(file, _form(form)), settings.max_data_bytes)
            recording = recording_of(read, widget)
        if recording:
            first, last = recording[0][1].created, recording[-1][1].created
            seconds = (last - first) / 1000 / speed
            typer.echo(f"replaying {len(recording)} messages in {seconds:.0f} s", err=True)
        with _progress("replaying") as bar:
            bar.length(len(recording))
            asyncio.run(replay(settings, into, recording, speed=speed, published=bar.went_on))
    typer.echo(f"published {len(recording)} messages", err=True)


def _form(form: Form | None) -> "FileForm | None":
    match form:
        case Form.JSONL:
            return "jsonl"
        case Form.CSV:
            return "csv"
        case None:
            return None


@contextlib.contextmanager
def _opened(path: Path, mode: Literal["ab", "rb"]) -> Iterator[IO[bytes]]:
    if path == _STDIO:
        yield sys.stdin.buffer if mode == "rb" else sys.stdout.buffer
        return
    try:
        file = path.open(mode)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    with file:
        yield file


class _Bar:
    """A progress bar on a terminal; nothing where nobody looks."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._update: Callable[[int], None] = lambda _steps: None
        self.stack = contextlib.ExitStack()

    def length(self, length: int) -> None:
        """Show it, now that it is known how much there is to do."""
        if sys.stderr.isatty() and length > 0:
            bar = typer.progressbar(length=length, label=self._label, file=sys.stderr)
            self._update = self.stack.enter_context(bar).update

    def went_on(self, steps: int) -> None:
        """Move it."""
        self._update(steps)


@contextlib.contextmanager
def _progress(label: str) -> Iterator[_Bar]:
    bar = _Bar(label)
    with bar.stack:
        yield bar
