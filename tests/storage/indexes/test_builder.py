"""One builds at a time, and what happens to it leaves nothing that the next cannot mend."""

import asyncio
import logging

import asyncpg
import pytest

from app.storage.database import Database
from app.storage.indexes.builder import building
from tests.storage.indexes.conftest import index_on

pytestmark = pytest.mark.anyio


async def test_one_of_all_who_ask_may_build(database_url: str) -> None:
    async with building(database_url) as first:
        assert first is not None
        async with building(database_url) as second:
            assert second is None
    async with building(database_url) as third:
        assert third is not None


async def test_whoever_waits_is_next(database_url: str) -> None:
    async def wait() -> bool:
        async with building(database_url, wait_seconds=20) as builder:
            return builder is not None

    async with building(database_url):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.2)
        assert not waiting.done()
    assert await waiting


async def test_an_index_is_built_kept_and_dropped(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with building(database_url) as builder:
        assert builder is not None
        await builder.build(index_on("a", "b.c"))
        (known,) = (await builder.read()).shapes
        assert (known.index, known.valid, known.kept) == (index_on("a", "b.c"), True, False)
        await builder.keep(known.index)
        assert (await builder.read()).shapes[0].kept
        await builder.drop(known.index)
        assert (await builder.read()).shapes == []
    assert "built the index on data.a, data.b.c in" in caplog.text
    assert "dropped the index on data.a, data.b.c" in caplog.text


async def _while_building(database: Database, database_url: str, act: str) -> None:
    """Do something to a build that waits for a transaction to end."""
    blocker = await asyncpg.connect(database_url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")

    async def build() -> None:
        async with building(database_url) as builder:
            assert builder is not None
            await builder.build(index_on("a"))

    task = asyncio.create_task(build())
    under_way = "SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"
    async with asyncio.timeout(20):
        while not (rows := await database.fetch(under_way)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    if act == "kill":
        await database.fetch("SELECT pg_terminate_backend($1)", rows[0]["pid"])
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await task
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await transaction.rollback()
    await blocker.close()


@pytest.mark.parametrize("act", ["kill", "cancel"])
async def test_what_an_ended_build_left_is_seen_by_the_next(
    database: Database, database_url: str, act: str
) -> None:
    await _while_building(database, database_url, act)
    async with building(database_url, wait_seconds=10) as builder:
        assert builder is not None, "the right to build ended with the one who had it"
        (known,) = (await builder.read()).shapes
        assert (known.index, known.valid) == (index_on("a"), False)
        await builder.build(index_on("a"))
        assert (await builder.read()).ready == [index_on("a")]
