"""What `widgetwire erase` deletes, whom it tells, and what it leaves in the database's files."""

import pytest

from app.config import Settings
from app.domain.channel import Channel
from app.domain.query import MessageQuery
from app.errors import ConfigurationError, DatabaseUnreachable
from app.process.erasure import Person, erased, found, kept_bans, listed
from app.storage.database import Database
from app.storage.erasure import Traces
from app.storage.search import MessageSearch
from tests.storage.test_erasure import hold, publish

pytestmark = pytest.mark.anyio

A, B, Q = Channel("p", "a"), Channel("p", "b"), Channel("q", "a")
ZOE = Person("Zoé", None)


async def fill(database: Database) -> None:
    for channel, username in ((A, "Zoé"), (A, "Zoé"), (B, "Zoé"), (B, "Bob"), (Q, "Zoé")):
        await publish(database, channel.key, username)


async def left(database: Database) -> list[int]:
    search = MessageSearch(database)
    return [await search.total_count(channel, MessageQuery()) for channel in (A, B, Q)]


async def test_one_person_is_erased_from_a_project_then_everywhere(
    database: Database, database_url: str
) -> None:
    await fill(database)
    settings = Settings(database_url=database_url)
    assert await found(database_url, ZOE) == [Traces(A, 2), Traces(B, 1), Traces(Q, 1)]
    in_p = Person("Zoé", "p")
    assert await erased(settings, in_p) == [Traces(A, 2), Traces(B, 1)]
    assert await found(database_url, in_p) == []
    assert await left(database) == [0, 1, 1]
    assert await erased(settings, ZOE) == [Traces(Q, 1)]
    assert await left(database) == [0, 1, 0]
    assert await erased(settings, ZOE) == []
    assert await kept_bans(database_url, ZOE) == 0


async def test_what_waits_for_a_moderator_is_erased_and_told_too(
    database: Database, database_url: str
) -> None:
    await fill(database)
    for channel in (A, A, Channel("r", "a")):
        await hold(database, channel.key, "Zoé")
    everything = [Traces(A, 4), Traces(B, 1), Traces(Q, 1), Traces(Channel("r", "a"), 1)]
    assert await found(database_url, ZOE) == everything
    assert await erased(Settings(database_url=database_url), ZOE) == everything
    assert await database.fetch("SELECT FROM held_messages") == []


async def test_neither_the_table_nor_what_planners_know_has_them_any_more(
    database: Database, database_url: str
) -> None:
    await fill(database)
    await database.fetch("ANALYZE messages")
    statistics = "SELECT most_common_vals::text FROM pg_stats WHERE tablename = 'messages'"
    assert any("Zoé" in str(row[0]) for row in await database.fetch(statistics))
    await erased(Settings(database_url=database_url), ZOE)
    assert not any("Zoé" in str(row[0]) for row in await database.fetch(statistics))
    dead = "SELECT n_dead_tup FROM pg_stat_all_tables WHERE relname = 'messages'"
    await database.fetch("SELECT pg_stat_clear_snapshot()")
    assert (await database.fetch(dead))[0][0] == 0


async def test_a_user_who_may_not_clean_is_told_what_is_left_to_do(
    database: Database, database_url: str
) -> None:
    await fill(database)
    await database.fetch("CREATE ROLE stranger LOGIN")
    try:
        rights = "SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
        await database.fetch(f"GRANT {rights} TO stranger")
        url = database_url.replace("postgres@", "stranger@", 1)
        with pytest.raises(ConfigurationError, match=r"the rows are deleted, .* as the owner"):
            await erased(Settings(database_url=url), ZOE)
        assert await left(database) == [0, 1, 0]
    finally:
        await database.fetch("DROP OWNED BY stranger")
        await database.fetch("DROP ROLE stranger")


async def test_a_database_that_is_away_is_no_setting_to_change() -> None:
    with pytest.raises(DatabaseUnreachable, match="stays erased"):
        await found("postgresql://nobody@127.0.0.1:1/none", ZOE)


@pytest.mark.parametrize(
    ("username", "project", "text"),
    [
        ("", None, "--username is empty"),
        ("\udcff", None, "expected UTF-8 text"),
        ("Zoé", "a b", "--project is 'a b'; allowed:"),
    ],
)
def test_what_can_be_nobody_is_refused(username: str, project: str | None, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Person(username, project)


def test_what_there_is_is_listed_by_channel() -> None:
    table = listed([Traces(Channel("project", "widget"), 3), Traces(A, 12)])
    lines = [line.split("  ") for line in table.splitlines()]
    assert [line[0] for line in lines] == ["CHANNEL", "project/widget", "p/a"]
    assert [line[-1].strip() for line in lines] == ["MESSAGES", "3", "12"]
    assert str(Person("Zoé", "p")) == "'Zoé' in project p"
    assert str(ZOE) == "'Zoé' in all projects"
