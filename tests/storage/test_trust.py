"""Connections that a link has forgotten: open for both ends, and dead."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from app.storage.database import Database, DatabaseLost
from app.storage.incidents import Incidents
from tests.link import Link

pytestmark = pytest.mark.anyio


@pytest.fixture
def link(database_url: str) -> Iterator[Link]:
    options = parse_qs(urlsplit(database_url).query)
    with Link() as link:
        link.leads_to = f"{options['host'][0]}/.s.PGSQL.{options['port'][0]}"
        yield link


@pytest.fixture
async def two(link: Link, database_url: str) -> AsyncIterator[tuple[Database, Database]]:
    """Two pools of one process, over the link."""
    url = _url(link, database_url)
    incidents = Incidents()
    one, other = [
        await Database.connect(url, pool_size=4, incidents=incidents, keep_idle=keep)
        for keep in (False, True)
    ]
    yield one, other
    await asyncio.gather(one.close(), other.close())


def _url(link: Link, database_url: str) -> str:
    return f"postgresql://postgres@127.0.0.1:{link.port}{urlsplit(database_url).path}"


async def _fill(database: Database) -> None:
    """Open all connections that it may have."""
    await asyncio.gather(*(database.fetch("SELECT pg_sleep(0.1)") for _ in range(4)))


async def test_one_that_falls_silent_costs_one_user_of_one_pool_its_time(
    link: Link, two: tuple[Database, Database]
) -> None:
    """Each of a pool's dead connections once cost somebody ten seconds and an error."""
    for database in two:
        await _fill(database)
    link.fall_silent()
    with pytest.raises(DatabaseLost):
        await two[0].fetch("SELECT 1", timeout_seconds=0.3)
    began = time.monotonic()
    for database in two:
        for _ in range(8):
            assert len(await database.fetch("SELECT 1")) == 1
    # A second for a sign of life in each pool; the other three are not asked.
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("keep", [False, True])
async def test_one_that_is_lost_while_it_is_asked_is_replaced(
    link: Link, database_url: str, keep: bool
) -> None:
    """The pool had taken it back by then: an error that nobody expected."""
    incidents = Incidents()
    database = await Database.connect(_url(link, database_url), incidents=incidents, keep_idle=keep)
    await database.fetch("SELECT 1")
    link.fall_silent()
    incidents.lost("TimeoutError", silent=True)
    asking = asyncio.create_task(database.fetch("SELECT 1"))
    await asyncio.sleep(0.1)
    link.cut()
    assert len(await asking) == 1
    await database.close()


async def test_those_that_live_are_asked_once_and_go_on(two: tuple[Database, Database]) -> None:
    one, _ = two
    await _fill(one)
    asked = "SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity WHERE pid <> $1"
    before = await one.fetch(asked, 0)
    # Something else fell silent: a statement that waited for a lock, say.
    with pytest.raises(DatabaseLost):
        await one.fetch("SELECT pg_sleep(2)", timeout_seconds=0.05)
    await _fill(one)
    after = await one.fetch(asked, 0)
    kept = set(before[0][0]) & set(after[0][0])
    assert len(kept) >= len(before[0][0]) - 1


async def test_whoever_gives_up_while_it_is_asked_leaves_a_place_in_the_pool(
    link: Link, database_url: str
) -> None:
    """It was nobody's for good: some such searches, and the pool was empty."""
    incidents = Incidents()
    database = await Database.connect(_url(link, database_url), pool_size=1, incidents=incidents)
    await database.fetch("SELECT 1")
    link.fall_silent()
    incidents.lost("TimeoutError", silent=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await database.fetch("SELECT 1")
    assert len(await database.fetch("SELECT 1", timeout_seconds=5)) == 1
    await database.close()
