"""The version of the rules: in the order of the commits, whoever changes them."""

import asyncio

import asyncpg
import pytest

from app.storage.database import Database
from app.storage.rules import NEXT_VERSION, RulesVersion

pytestmark = pytest.mark.anyio


async def test_the_first_version_is_1(database: Database) -> None:
    version = RulesVersion(database)
    assert await version.read() == 0
    assert [tuple(row) for row in await database.fetch(NEXT_VERSION)] == [(1,)]
    await database.fetch(NEXT_VERSION)
    assert await version.read() == 2


async def test_a_later_version_is_committed_later(database: Database, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        assert await connection.fetchval(NEXT_VERSION) == 1
        later = asyncio.create_task(database.fetch(NEXT_VERSION))
        done, _ = await asyncio.wait({later}, timeout=0.1)
        assert not done
        assert await RulesVersion(database).read() == 0
        await transaction.commit()
        assert [tuple(row) for row in await later] == [(2,)]
    finally:
        await connection.close()
