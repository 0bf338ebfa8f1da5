"""Nobody's searches take the connections that the rest of the service lives on."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from app.storage.backend_priority import NICENESS
from app.storage.database import DatabaseTookTooLong
from app.storage.pools import Pools

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pools(database_url: str) -> AsyncIterator[Pools]:
    """Two connections for searches that read much."""
    async with AsyncExitStack() as stack:
        yield await Pools.open(stack, database_url, searching=2)


async def test_searches_wait_for_each_other_and_nobody_waits_for_them(pools: Pools) -> None:
    """Fifty clients that grouped a large channel once stopped publishing for 20 s."""
    searches = [
        asyncio.create_task(pools.searching.fetch("SELECT pg_sleep(30)")) for _ in range(50)
    ]
    await asyncio.sleep(0.05)
    for database in (pools.writing, pools.reading, pools.leasing, pools.quick_searching):
        async with asyncio.timeout(1):
            await database.fetch("SELECT 1")
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
    quick = await pools.quick_searching.fetch("SELECT current_setting('statement_timeout')")
    assert quick[0][0] == "1s"


async def test_only_searches_that_read_much_give_way(pools: Pools) -> None:
    for database, niceness in (
        (pools.searching, NICENESS),
        (pools.quick_searching, 0),
        (pools.writing, 0),
        (pools.reading, 0),
        (pools.leasing, 0),
    ):
        ((pid,),) = await database.fetch("SELECT pg_backend_pid()")
        assert os.getpriority(os.PRIO_PROCESS, pid) == niceness


async def test_a_search_that_takes_too_long_is_told_what_would_help(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        pools = await Pools.open(stack, database_url, search_timeout_seconds=0.1)
        with pytest.raises(DatabaseTookTooLong) as late:
            await pools.searching.fetch("SELECT pg_sleep(30)")
    assert late.value.message == (
        "the database took longer than 0.1 s; this is the limit for a search "
        "(WIDGETWIRE_STATEMENT_TIMEOUT_SECONDS), and the search was cancelled: narrow it by "
        "created or by an indexed field, or ask the operator to index the field (widgetwire "
        "indexes add PATH)"
    )


async def test_an_outage_is_one_incident_of_all_pools(
    pools: Pools, caplog: pytest.LogCaptureFixture
) -> None:
    for database in (pools.writing, pools.reading, pools.searching, pools.leasing):
        with pytest.raises(Exception, match="unavailable"):
            await database.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    assert len(caplog.messages) == 1
