"""The border where driver errors end."""

import asyncio

import pytest

from app.errors import Unavailable
from app.storage.database import Database, DatabaseLost
from app.storage.embedded import EmbeddedPostgres

pytestmark = pytest.mark.anyio


async def values(database: Database, sql: str) -> list[object]:
    return [row[0] for row in await database.fetch(sql)]


async def test_json_stays_text_from_one_end_to_the_other(database: Database) -> None:
    text = '{"a":[1.10,"é\U0001f600",null]}'.encode()
    ((back,),) = await database.fetch("SELECT $1::jsonb", text)
    assert back.replace(b" ", b"") == text
    assert await values(database, "SELECT NULL::jsonb") == [None]


async def test_no_database_is_lost_not_a_drivers_error() -> None:
    with pytest.raises(DatabaseLost, match="not reachable"):
        await Database.connect("postgresql://postgres@127.0.0.1:1/nothing")


async def test_a_statement_that_takes_too_long_is_cancelled(database_url: str) -> None:
    database = await Database.connect(database_url, statement_timeout_seconds=0.2)
    with pytest.raises(Unavailable, match=r"longer than 0\.2 s"):
        await database.fetch("SELECT pg_sleep(10)")
    assert await values(database, "SELECT 1") == [1]
    await database.close()


async def test_waiting_for_a_connection_is_bounded(database_url: str) -> None:
    database = await Database.connect(database_url, pool_size=1, statement_timeout_seconds=0.5)
    async with asyncio.timeout(10):
        results = await asyncio.gather(
            *(database.fetch("SELECT pg_sleep(0.3)") for _ in range(5)), return_exceptions=True
        )
    assert not isinstance(results[0], BaseException)
    assert "overloaded" in str(results[-1])
    await database.close()


async def test_a_cut_connection_is_lost_and_the_next_statement_has_another(
    database: Database, database_url: str
) -> None:
    other = await Database.connect(database_url)
    sleeping = asyncio.create_task(database.fetch("SELECT pg_sleep(30)"))
    async with asyncio.timeout(20):
        while not await other.fetch(  # noqa: ASYNC110  Postgres tells nobody
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        ):
            await asyncio.sleep(0.01)
    with pytest.raises(DatabaseLost):
        await sleeping
    assert await values(database, "SELECT 1") == [1]
    await other.close()


async def test_it_comes_back_with_the_server(
    database: Database, postgres: EmbeddedPostgres
) -> None:
    restarting = asyncio.create_task(asyncio.to_thread(postgres.restart, "immediate"))
    while not restarting.done():
        try:
            await database.fetch("SELECT 1")
        except Unavailable:
            await asyncio.sleep(0.02)  # anything else fails the test
    await restarting
    async with asyncio.timeout(10):
        while True:
            try:
                assert await values(database, "SELECT 1") == [1]
            except Unavailable:
                continue
            break


async def test_a_bug_of_ours_is_not_called_unavailable(database: Database) -> None:
    for sql, parameters in (("SELECT nothing", ()), ("SELECT $1::bigint", ("one",))):
        with pytest.raises(Exception) as failure:  # noqa: PT011  whatever it is, it is not ours
            await database.fetch(sql, *parameters)
        assert not isinstance(failure.value, Unavailable)
