"""psql, pg_dump and pg_restore on the service's database."""

import gzip
from pathlib import Path

import asyncpg
import pytest

from app.embedded.postgres import EmbeddedPostgres
from app.errors import ConfigurationError
from app.process.postgres_tools import PostgresTools, others_connected, stored_anything
from app.storage.database import Database
from tests.storage.test_erasure import publish

pytestmark = pytest.mark.anyio


@pytest.fixture
def tools(postgres: EmbeddedPostgres, database_url: str) -> PostgresTools:
    return PostgresTools(database_url, postgres.data_dir)


async def count(url: str) -> int:
    connection = await asyncpg.connect(url)
    found: int = await connection.fetchval("SELECT count(*) FROM messages")
    await connection.close()
    return found


async def test_what_was_dumped_is_loaded_and_nothing_else_is_left(
    tools: PostgresTools, database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not await stored_anything(database_url)
    database = await Database.connect(database_url)
    await publish(database, "p/a", "Zoé")
    assert await others_connected(database_url) >= 1
    await database.close()
    assert await others_connected(database_url) == 0
    assert await stored_anything(database_url)
    backup = tmp_path / "backup"
    with backup.open("wb") as file:
        assert tools.dump(file)
    assert tools.psql(["-qc", "INSERT INTO channels VALUES ('p/b'); CREATE TABLE newer ()"]) == 0
    with backup.open("rb") as file:
        assert tools.load(file)
    assert await count(database_url) == 1
    assert tools.psql(["-qAtc", "SELECT to_regclass('newer') IS NULL, channel FROM channels"]) == 0
    assert capfd.readouterr() == ("t|p/a\n", "")


async def test_half_a_backup_changes_nothing(
    tools: PostgresTools, database: Database, database_url: str, tmp_path: Path
) -> None:
    for _ in range(100):
        await publish(database, "p/a", "Zoé")
    await database.close()
    backup = tmp_path / "backup"
    with backup.open("wb") as file:
        assert tools.dump(file)
    whole = backup.read_bytes()
    for part in (whole[: len(whole) // 2], whole[:-1], b"", b"nonsense"):
        backup.write_bytes(part)
        with backup.open("rb") as file, pytest.raises(ConfigurationError, match="no whole backup"):
            tools.load(file)
    assert await count(database_url) == 100


async def test_a_database_that_is_away_is_told_by_the_exit_code(tmp_path: Path) -> None:
    tools = PostgresTools("postgresql://u:secret@127.0.0.1:1/none", None)
    assert tools.psql(["-c", "SELECT 1"]) == 2
    with (tmp_path / "backup").open("wb") as file:
        assert not tools.dump(file)
    sql = b"--\n-- PostgreSQL database dump\nSELECT 1;"
    (tmp_path / "backup").write_bytes(gzip.compress(sql))
    with (tmp_path / "backup").open("rb") as file:
        assert not tools.load(file)


async def test_a_password_is_not_in_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    class Ended:
        def __init__(self, command: list[str], **options: object) -> None:
            seen.extend([command, options["env"]])

        def __enter__(self) -> "Ended":
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def wait(self) -> int:
            return 0

    monkeypatch.setattr("subprocess.Popen", Ended)
    PostgresTools("postgresql://u:s%40crit@db:5432/app?sslmode=require", None).psql([])
    command, environment = seen
    assert isinstance(command, list)
    assert command[1:] == ["postgresql://u@db:5432/app?sslmode=require"]
    assert isinstance(environment, dict)
    assert environment["PGPASSWORD"] == "s@crit"
