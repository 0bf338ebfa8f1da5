"""The command line, run as people run it: a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from app import __version__
from tests.commands.run import widgetwire

pytestmark = pytest.mark.usefixtures("counted_processes")


def test_version_prints_the_version() -> None:
    assert widgetwire("version").stdout == f"{__version__}\n"


def test_a_command_imports_only_what_it_needs_itself() -> None:
    """`version` imported the database, the migrations and the server: 1 s instead of 0.2."""
    listed = subprocess.run(
        [sys.executable, "-c", "import app.cli, sys; print(*sys.modules)"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()
    heavy = {"alembic", "sqlalchemy", "strawberry", "uvicorn", "asyncpg", "pydantic", "jwt"}
    assert heavy.isdisjoint(listed)


def test_schema_prints_the_sdl() -> None:
    printed = widgetwire("schema")
    assert printed.returncode == 0
    assert "type Subscription {" in printed.stdout


@pytest.mark.parametrize("command", ["serve", "config", "migrate", "token"])
def test_wrong_settings_are_a_line_each_and_exit_code_2(command: str) -> None:
    printed = widgetwire(command, PORT="x", ANONYMOUS="y")
    assert printed.returncode == 2
    assert printed.stdout == ""
    assert printed.stderr.splitlines() == [
        "widgetwire: WIDGETWIRE_PORT: expected a whole number from 0 to 65535, got 'x'",
        "widgetwire: WIDGETWIRE_ANONYMOUS: expected one of allow, read, deny, got 'y'",
    ]
