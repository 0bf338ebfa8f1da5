"""What `widgetwire indexes` does and says."""

import asyncpg
import pytest

from app.errors import ConfigurationError
from app.process import indexes
from app.process.indexes import added, dropped, listed, parse_paths
from app.storage.database import Database
from app.storage.indexes.builder import building
from tests.storage.indexes.conftest import index_on

pytestmark = pytest.mark.anyio


async def test_an_index_is_added_listed_and_dropped(database_url: str) -> None:
    index = parse_paths(["data.user.name", "data.team"], "data.score")
    assert index == index_on("team", "user.name", "score")
    assert await listed(database_url) == ("no search indexes, and none pending")
    assert await added(database_url, index) == f"built {index.name}"
    assert "exists already" in await added(database_url, index)
    headings, line = (await listed(database_url)).splitlines()
    assert headings.split() == ["NAME", "PATHS", "SIZE", "USES", "LAST", "USED", "STATE"]
    assert line.split("  ")[0] == index.name
    assert "data.team, data.user.name, data.score" in line
    assert line.endswith("0.0 MiB  0     never      ready, added by hand")
    assert await dropped(database_url, index.name) == f"dropped {index.name}"
    with pytest.raises(ConfigurationError, match=f"no search index is named '{index.name}'"):
        await dropped(database_url, index.name)


async def test_what_waits_and_what_is_not_finished_is_listed(
    database_url: str, database: Database
) -> None:
    await added(database_url, index_on("b"))
    await database.fetch("UPDATE search_shapes SET uses = 7, used_at = now() - interval '3 hours'")
    await database.fetch(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1::text::regclass",
        index_on("b").name,
    )
    for path, uses in (("a", 9), ("c", 1)):
        await database.fetch(
            "INSERT INTO search_shapes (name, paths, uses, seconds, used_at) "
            "VALUES ($1, $2, $3, 5, now())",
            *(index_on(path).name, index_on(path).paths_json, float(uses)),
        )
    lines = sorted((await listed(database_url)).splitlines()[1:], key=lambda line: line.split()[1])
    assert [line.split("  ")[-1].strip() for line in lines] == ["waiting", "not finished"]
    assert "3 h ago" in lines[1]


@pytest.mark.parametrize(
    ("paths", "sort", "text"),
    [
        (["clientId"], None, "PATH is 'clientId'; expected a path below data"),
        (["data"], None, "PATH is 'data'; expected a path below data"),
        (["user"], None, "PATH is 'user'; allowed: id, client_id"),
        (["data.a"], "created", "--sort is 'created'; expected a path below data"),
        (["data.a"], "data.a", "a path is repeated"),
        ([f"data.{name}" for name in "abcde"], None, "5 paths were given; an index has at most 4"),
    ],
)
def test_wrong_paths_are_refused_in_words(paths: list[str], sort: str | None, text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_paths(paths, sort)
    assert str(refused.value).startswith(text)


async def test_it_waits_for_whoever_builds_and_gives_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "_WAIT_SECONDS", 0.2)
    async with building(database_url):
        with pytest.raises(ConfigurationError, match=r"another index has been building for 0\.2 s"):
            await added(database_url, index_on("a"))


async def test_a_database_that_refuses_or_is_away_is_told_in_words(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE ROLE looker LOGIN")
    url = database_url.replace("//postgres@", "//looker@")
    for asked in (added(url, index_on("a")), listed(url)):
        with pytest.raises(
            ConfigurationError, match=r"refused .*: connect as the owner of its tables"
        ):
            await asked
    await connection.execute("DROP ROLE looker")
    await connection.close()
    with pytest.raises(ConfigurationError, match="the database command failed: "):
        await listed("postgresql://postgres@127.0.0.1:1/nothing")
