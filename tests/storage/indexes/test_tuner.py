"""A process that has indexes built for what is searched."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.domain.query import parse_query
from app.storage.database import Database
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.indexes.decisions import WANTED_USES
from app.storage.indexes.definitions import BUILT_IN, IndexDefinition
from app.storage.indexes.demand import Demand
from app.storage.indexes.shapes import page_shape
from app.storage.indexes.tuner import IndexTuner
from app.storage.search import MessageSearch
from tests.domain.query.strategies import CHANNEL
from tests.storage.indexes.conftest import index_on

pytestmark = pytest.mark.anyio


class Process:
    """The parts of a process that matter here."""

    def __init__(self, url: str, database: Database, limit: int = 2) -> None:
        self.indexes, self.demand = SearchIndexes(), Demand()
        self.tuner = IndexTuner(
            url,
            database,
            self.indexes,
            self.demand,
            limit=limit,
            large_channel_messages=100,
            interval_seconds=0.02,
        )

    def search(self, *paths: str, times: int = WANTED_USES) -> None:
        filters = [{"field": f"data.{path}", "operator": "EQ", "value": 1} for path in paths]
        shape = page_shape(parse_query({"filters": filters}), strings_in_order=True)
        for _ in range(times):
            self.demand.note(CHANNEL, shape, None, seconds=0.5, matched=1)

    @property
    def built(self) -> list[IndexDefinition]:
        return [index for index in self.indexes.ready if index not in BUILT_IN]


@pytest.fixture
async def database(database: Database) -> Database:
    await database.fetch("INSERT INTO channels (channel, head) VALUES ($1, 1000)", CHANNEL.key)
    return database


@pytest.fixture
async def process(database_url: str, database: Database) -> AsyncIterator[Process]:
    process = Process(database_url, database)
    yield process
    await process.tuner.stop()


async def test_what_is_searched_often_gets_an_index(process: Process) -> None:
    process.search("a", times=WANTED_USES - 1)
    await process.tuner.round()
    assert process.built == []
    process.search("a", times=1)
    await process.tuner.round()
    assert process.built == [index_on("a")]
    assert process.indexes.strings_in_order


async def test_the_task_builds_in_the_background(process: Process) -> None:
    process.search("a", "b")
    await process.tuner.start()
    async with asyncio.timeout(20):
        while not process.built:  # noqa: ASYNC110  the tuner tells nobody
            await asyncio.sleep(0.01)
    assert process.built == [index_on("a", "b")]


async def test_of_two_processes_one_builds_and_both_know(
    process: Process, database_url: str, database: Database
) -> None:
    other = Process(database_url, database)
    process.search("a", times=3)
    other.search("a", times=2)
    await process.tuner.round()
    assert process.built == []
    # Both see at once that it is wanted.
    await asyncio.gather(*(one.tuner.round() for one in (other, process, other, process)))
    await asyncio.gather(other.tuner.round(), process.tuner.round())
    assert process.built == other.built == [index_on("a")]


async def test_more_than_the_limit_wait_until_one_is_unused(
    process: Process, database: Database
) -> None:
    for path in "abc":
        process.search(path)
        await process.tuner.round()
    assert {*process.built} == {index_on("a"), index_on("b")}
    await database.fetch(
        "UPDATE search_shapes SET used_at = now() - interval '1 day', "
        "built_at = now() - interval '2 days' WHERE name = $1",
        index_on("a").name,
    )
    await process.tuner.round()
    assert {*process.built} == {index_on("b"), index_on("c")}


async def test_what_a_killed_build_left_is_built_again(
    process: Process, database: Database
) -> None:
    process.search("a")
    await process.tuner.round()
    await database.fetch(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1::text::regclass",
        index_on("a").name,
    )
    await process.tuner.round()
    assert process.built == []
    process.search("a")
    await process.tuner.round()
    assert process.built == [index_on("a")]


async def test_it_is_off_when_none_is_allowed(database_url: str, database: Database) -> None:
    process = Process(database_url, database, limit=0)
    process.search("a")
    await process.tuner.round()
    assert process.built == []


async def test_a_user_who_may_not_build_is_told_of_once_and_served(
    database_url: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await database.fetch("CREATE ROLE searcher LOGIN")
    await database.fetch(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO searcher"
    )
    url = database_url.replace("//postgres@", "//searcher@")
    restricted = await Database.connect(url)
    process = Process(url, restricted)
    process.search("a")
    for _ in range(3):
        await process.tuner.round()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the index on data.a could not be built: asyncpg.exceptions." in caplog.text
    assert "must be owner of table messages" in caplog.text
    assert (
        await MessageSearch(restricted, indexes=process.indexes).messages(CHANNEL, parse_query({}))
        == []
    )
    await restricted.close()
    await database.fetch("DROP OWNED BY searcher")
    await database.fetch("DROP ROLE searcher")


async def test_it_goes_on_after_the_database_was_away(
    process: Process, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await process.tuner.start()
    for _ in range(3):
        await database.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await asyncio.sleep(0.02)
    process.search("a")
    async with asyncio.timeout(20):
        while not process.built:  # noqa: ASYNC110  the tuner tells nobody
            await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.exc_info]


async def test_it_serves_on_a_schema_that_it_may_not_read(
    process: Process, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP TABLE search_shapes")
    await connection.close()
    await process.tuner.start()
    assert "indexes are neither built nor counted" in caplog.text
