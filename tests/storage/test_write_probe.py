"""A database that answers and stores nothing is not well."""

import asyncpg
import pytest

from app.storage.database import Database, DatabaseRefuses
from app.storage.incidents import Incidents
from app.storage.write_probe import WriteProbe
from tests.postgres_faults import refusing

pytestmark = pytest.mark.anyio

_INSERT = """
    INSERT INTO messages (channel, sequence, id, client_id, created, data)
    VALUES ('project/widget', 1, gen_random_uuid(), 'client', 1, '1')
"""


async def test_a_refused_write_is_remembered_until_a_message_can_be_stored(
    database_url: str,
) -> None:
    """With a full disk the health check once said 200: it only reads."""
    incidents = Incidents()
    database = await Database.connect(database_url, incidents=incidents)
    probe = WriteProbe(database, incidents)
    assert await probe.state() is None
    async with refusing(database_url):
        with pytest.raises(DatabaseRefuses):
            await database.fetch(_INSERT)
        # Neither time nor a write of something else makes it forget.
        await database.fetch("INSERT INTO channels (channel) VALUES ('project/other')")
        for _ in range(2):
            assert await probe.state() == "cannot store messages: disk full"
    assert await probe.state() is None
    await database.close()


async def test_a_trial_leaves_nothing_behind(database_url: str) -> None:
    incidents = Incidents()
    database = await Database.connect(database_url, incidents=incidents)
    incidents.refused("disk full")
    assert await WriteProbe(database, incidents).state() is None
    connection = await asyncpg.connect(database_url)
    assert await connection.fetch("SELECT 1 FROM messages UNION ALL SELECT 1 FROM channels") == []
    await connection.close()
    await database.close()
