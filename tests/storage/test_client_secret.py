"""The secret that the database keeps: one, for all processes, for as long as it lives."""

import asyncio

import pytest

from app.storage.client_secret import kept_client_secret
from app.storage.database import Database

pytestmark = pytest.mark.anyio


async def test_all_who_ask_at_once_get_the_same(database: Database) -> None:
    found = await asyncio.gather(*(kept_client_secret(database) for _ in range(8)))
    assert len(set(found)) == 1
    assert len(found[0]) == 64
    assert await kept_client_secret(database) == found[0]
    (row,) = await database.fetch("SELECT count(*) AS rows FROM client_secret")
    assert row["rows"] == 1


async def test_one_that_was_deleted_is_made_anew(database: Database) -> None:
    """That is how an operator withdraws all client ids."""
    first = await kept_client_secret(database)
    await database.fetch("DELETE FROM client_secret")
    assert await kept_client_secret(database) != first
