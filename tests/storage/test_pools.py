"""Nobody's searches take the connections that the rest of the service lives on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from app.storage.database import DatabaseBusy
from app.storage.pools import Pools

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pools(database_url: str) -> AsyncIterator[Pools]:
    """Two connections for searches, and little patience."""
    async with AsyncExitStack() as stack:
        yield await Pools.open(stack, database_url, searching=2, search_wait_seconds=0.2)


async def test_searches_wait_for_each_other_and_nobody_waits_for_them(pools: Pools) -> None:
    """Fifty clients that grouped a large channel once stopped publishing for 20 s."""
    searches = [
        asyncio.create_task(pools.searching.fetch("SELECT pg_sleep(30)")) for _ in range(50)
    ]
    refused, _ = await asyncio.wait(searches, return_when=asyncio.FIRST_COMPLETED)
    for database in (pools.writing, pools.reading, pools.leasing):
        async with asyncio.timeout(1):
            await database.fetch("SELECT 1")
    for search in refused:
        with pytest.raises(DatabaseBusy, match=r"no connection was free within 0\.2 s"):
            await search
    for search in searches:
        search.cancel()
    await asyncio.wait(searches)


async def test_joins_without_number_do_not_keep_a_publish_or_the_lease_waiting(
    pools: Pools,
) -> None:
    joins = [asyncio.create_task(pools.reading.fetch("SELECT pg_sleep(30)")) for _ in range(100)]
    await asyncio.sleep(0.05)
    for database in (pools.writing, pools.leasing):
        async with asyncio.timeout(1):
            await database.fetch("SELECT 1")
    for join in joins:
        join.cancel()
    await asyncio.wait(joins)


async def test_a_search_has_one_core_and_its_own_time(pools: Pools) -> None:
    async def setting(name: str, own: bool) -> object:
        database = pools.searching if own else pools.writing
        return (await database.fetch("SELECT current_setting($1)", name))[0][0]

    assert await setting("max_parallel_workers_per_gather", own=True) == "0"
    assert await setting("max_parallel_workers_per_gather", own=False) != "0"
    assert await setting("statement_timeout", own=True) == "10s"
    assert await setting("statement_timeout", own=False) == "5s"


async def test_an_outage_is_one_incident_of_all_pools(
    pools: Pools, caplog: pytest.LogCaptureFixture
) -> None:
    for database in (pools.writing, pools.reading, pools.searching, pools.leasing):
        with pytest.raises(Exception, match="not reachable"):
            await database.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    assert len(caplog.messages) == 1
