"""One of all who ask holds the lock, and loses it with its connection."""

import pytest

from app.errors import Unavailable
from app.storage.database import Database
from app.storage.elected import elected, leading

pytestmark = pytest.mark.anyio

KEY, OTHER = 0x7777_0001, 0x7777_0002
SETTINGS = {"application_name": "the elected one"}


async def test_one_of_all_who_ask_is_elected_for_each_key(database_url: str) -> None:
    async with elected(database_url, KEY, settings=SETTINGS) as first:
        assert first is not None
        assert await first.fetchval("SHOW application_name") == "the elected one"
        async with elected(database_url, KEY, settings=SETTINGS) as second:
            assert second is None
        async with elected(database_url, OTHER, settings=SETTINGS) as other:
            assert other is not None
    async with elected(database_url, KEY, settings=SETTINGS) as third:
        assert third is not None


async def test_who_leads_notices_that_the_lock_is_lost(
    database: Database, database_url: str
) -> None:
    async with leading(database_url, KEY, "work") as leadership:
        assert leadership is not None
        await leadership.check()
        async with leading(database_url, KEY, "work") as another:
            assert another is None
        await database.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'widgetwire work'"
        )
        with pytest.raises(Unavailable):
            await leadership.check()
        async with leading(database_url, KEY, "work") as next_one:
            assert next_one is not None


async def test_without_a_database_nobody_leads() -> None:
    with pytest.raises(Unavailable):
        async with leading("postgresql://nobody@127.0.0.1:1/none", KEY, "work"):
            pass
