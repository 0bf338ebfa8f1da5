"""Who runs the embedded Postgres: never root, and nothing of ours reaches it."""

import os
import subprocess
from pathlib import Path

import pytest

from app.embedded import account
from app.embedded.account import Account, account_for
from app.errors import ConfigurationError

OURS = Account(os.geteuid(), os.getegid(), own=True)
ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root runs it as another user")


@pytest.mark.skipif(ROOT, reason="root runs it as another user")
def test_a_normal_user_runs_it_as_themselves(tmp_path: Path) -> None:
    assert account_for(tmp_path) == account_for(tmp_path / "not made yet") == OURS


@as_root
def test_root_runs_it_as_the_owner_of_the_data(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 54321)
    assert account_for(tmp_path) == Account(12345, 54321, own=False)


@as_root
def test_root_runs_it_as_a_user_that_is_made_for_it(tmp_path: Path) -> None:
    account = account_for(tmp_path / "not made yet")
    assert account.uid not in {0, 12345}
    assert not account.own
    assert account == account_for(tmp_path), "a directory of root's is nobody's yet"


def test_the_program_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDGETWIRE_JWT_SECRET", "secret")
    monkeypatch.setenv("PGDATA", "/elsewhere")
    done = OURS.run(["/usr/bin/env"], entering=(), timeout_seconds=10)
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert names <= {"LC_ALL", "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"}


def test_a_program_that_hangs_is_killed() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        OURS.run(["/bin/sleep", "60"], entering=(), timeout_seconds=0.05)


def test_how_it_ended_and_what_it_said_comes_back() -> None:
    done = OURS.run(["/bin/sh", "-c", "echo said >&2; exit 3"], entering=(), timeout_seconds=10)
    assert (done.returncode, done.stdout) == (3, "said\n")


@as_root
def test_it_is_let_into_a_closed_directory_and_that_one_stays_closed(tmp_path: Path) -> None:
    """Opening root's directories to every user of the machine was the alternative."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "inside").write_text("seen")
    (closed / "inside").chmod(0o644)
    other = Account(12345, 54321, own=False)
    done = other.run(
        ["/bin/sh", "-c", f"id -u; cat {closed}/inside"],
        entering=(closed / "inside",),
        timeout_seconds=10,
    )
    assert done.stdout == "12345\nseen"
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_where_it_cannot_be_let_in_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_permitted_capabilities", lambda: 0)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match="set WIDGETWIRE_DATA_DIR and install"):
        Account(12345, 54321, own=False).run(
            ["/bin/true"], entering=(closed / "inside",), timeout_seconds=10
        )


def test_giving_makes_a_file_the_accounts(tmp_path: Path) -> None:
    OURS.give(tmp_path)
    assert tmp_path.stat().st_uid == os.geteuid()
    if ROOT:
        Account(12345, 54321, own=False).give(tmp_path)
        assert (tmp_path.stat().st_uid, tmp_path.stat().st_gid) == (12345, 54321)
