"""PostgreSQL's programs: found in the wheel, run, and their failures in words."""

import os
import re
from pathlib import Path

import pytest

from app.embedded.account import Account
from app.embedded.programs import failure, run_program
from app.errors import ConfigurationError

OURS = Account(os.geteuid(), os.getegid(), own=True)


@pytest.mark.parametrize("name", ["postgres", "initdb", "pg_ctl", "pg_isready"])
def test_the_wheel_has_each_program_that_is_run(name: str) -> None:
    done = run_program(OURS, name, "--version", entering=(), seconds=30)
    assert done.returncode == 0
    assert re.match(rf"{name} \(PostgreSQL\) \d+", done.stdout)


def test_a_program_that_is_not_there_is_told_with_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="set WIDGETWIRE_DATABASE_URL"):
        run_program(OURS, "pg_nothing", entering=(), seconds=1)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("could not write: No space left on device", "free some disk space"),
        ("could not create shared memory segment", "more shared memory"),
        ("could not open file: Permission denied", "make the service's user the owner of the data"),
        ("something new", "fix the problem below, or set WIDGETWIRE_DATABASE_URL"),
    ],
)
def test_a_failure_says_what_helps_and_what_postgresql_said(said: str, advice: str) -> None:
    error = str(failure("start", Path("/data"), f"first\n\n{said}\n"))
    assert error.startswith("the embedded database in /data cannot start: ")
    assert advice in error
    assert error.endswith(f"\n    first\n    {said}")


def test_of_a_long_log_the_end_is_shown() -> None:
    error = str(failure("start", Path("/data"), "\n".join(f"line {n}" for n in range(1000))))
    assert error.count("\n") == 8
    assert error.endswith("line 999")
