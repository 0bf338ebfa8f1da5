"""`widgetwire migrate`, `backup`, `restore` and `psql`, as they are typed."""

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.commands.run import widgetwire
from tests.commands.test_data import refusal, run
from tests.served import Served


@pytest.fixture
def filled_url(database_url: str) -> str:
    line = {"widget_id": "a", "client_id": "c", "created": 1, "data": 1}
    run(database_url, "import", "-", "--into", "p", stdin=json.dumps(line).encode())
    return database_url


def test_a_backup_is_restored_where_nobody_would_miss_what_is_there(
    filled_url: str, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    assert f"wrote {backup}: " in run(filled_url, "backup", str(backup)).stdout
    assert backup.stat().st_mode & 0o777 == 0o600
    assert "exists: remove it" in refusal(run(filled_url, "backup", str(backup)))
    assert "--replace deletes them all" in refusal(run(filled_url, "restore", str(backup)))
    restored = run(filled_url, "restore", str(backup), "--replace")
    assert f"restored {backup}" in restored.stdout
    assert len(run(filled_url, "export", "p").stdout.splitlines()) == 1


def test_what_cannot_be_restored_leaves_all_as_it_is(filled_url: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    assert "No such file" in refusal(run(filled_url, "restore", str(wrong), "--replace"))
    wrong.write_text("nonsense")
    result = run(filled_url, "restore", str(wrong), "--replace")
    wrong.write_bytes(gzip.compress(b"--\n-- PostgreSQL database dump\nnonsense;"))
    mistaken = run(filled_url, "restore", str(wrong), "--replace")
    assert "nothing was changed; what PostgreSQL says" in refusal(mistaken)
    assert "no whole backup" in refusal(result)
    assert len(run(filled_url, "export", "p").stdout.splitlines()) == 1


def test_a_database_that_others_use_is_not_restored_under_them(
    filled_url: str, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    run(filled_url, "backup", str(backup))
    with asyncio.Runner() as runner:
        other = runner.run(asyncpg.connect(filled_url))
        result = run(filled_url, "restore", str(backup), "--replace")
        runner.run(other.close())
    assert "others have 1 connections to the database: stop the services" in refusal(result)


def test_a_backup_that_cannot_be_written_is_said(database_url: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "missing" / "backup"
    assert "No such file" in refusal(run(database_url, "backup", str(nowhere)))


def test_a_backup_goes_into_no_file_of_somebody_else(database_url: str, tmp_path: Path) -> None:
    """It has the secret of client ids. Directories for backups are often shared."""
    theirs, backup = tmp_path / "theirs", tmp_path / "backup"
    theirs.write_text("mine")
    backup.with_name("backup.part").symlink_to(theirs)
    run(database_url, "backup", str(backup))
    assert theirs.read_text() == "mine"
    assert not backup.is_symlink()
    assert backup.stat().st_mode & 0o777 == 0o600


def test_psql_is_given_its_own_options(filled_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(filled_url, "psql", "-Atc", "SELECT count(*) FROM messages").exit_code == 0
    assert capfd.readouterr().out == "1\n"
    assert run(filled_url, "psql", "-c", "nonsense").exit_code == 1


def test_migrate_makes_it_fit_and_may_be_repeated(
    empty_database_url: str, serve: Callable[..., Served]
) -> None:
    for _ in range(2):
        printed = widgetwire("migrate", DATABASE_URL=empty_database_url)
        assert (printed.returncode, printed.stdout) == (0, "The schema is up to date.\n")
    served = serve(database_url=empty_database_url)
    assert httpx.get(f"{served.url}/healthz/ready").json()["status"] == "ready"
