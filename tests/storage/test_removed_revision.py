"""Migration 0004: how many messages a channel holds is known without a scan."""

import asyncpg
import pytest
from alembic import command
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.message import Draft
from app.domain.query import MessageQuery
from app.storage.database import Database
from app.storage.history import MessageHistory
from app.storage.search import MessageSearch
from app.storage.writer import MessageWriter
from tests.storage.migrated import alembic

pytestmark = pytest.mark.anyio

ONE, OTHER = Channel("project", "one"), Channel("project", "other")


async def publish(database: Database, channel: Channel, number: int) -> None:
    writer = MessageWriter(database, lambda _messages: None)
    for _ in range(number):
        await writer.write(Draft(channel, str(uuid7()), "client", None, b"1"))


async def removed(database: Database) -> dict[Channel, int]:
    heads = await MessageHistory(database).heads([ONE, OTHER])
    return {channel: head.removed for channel, head in heads.items()}


async def test_deleted_messages_are_counted_whoever_deletes_them(database: Database) -> None:
    await publish(database, ONE, 5)
    await publish(database, OTHER, 3)
    await database.fetch("DELETE FROM messages WHERE sequence <= 2")
    assert await removed(database) == {ONE: 2, OTHER: 2}
    await publish(database, ONE, 1)
    search = MessageSearch(database)
    assert await search.total_count(ONE, MessageQuery()) == 4
    assert await search.total_count(OTHER, MessageQuery()) == 1
    await database.fetch("TRUNCATE messages")
    assert await removed(database) == {ONE: 6, OTHER: 3}
    assert await search.total_count(ONE, MessageQuery()) == 0


async def test_a_channel_deleted_with_its_messages_begins_at_none(database: Database) -> None:
    await publish(database, ONE, 5)
    await database.fetch("DELETE FROM messages")
    await database.fetch("DELETE FROM channels")
    await publish(database, ONE, 1)
    assert await MessageSearch(database).total_count(ONE, MessageQuery()) == 1


async def test_what_was_deleted_before_the_migration_is_counted(empty_database_url: str) -> None:
    await alembic(empty_database_url, command.upgrade, "0003")
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute(
            "INSERT INTO channels (channel, head) VALUES ('project/one', 3), ('project/other', 2)"
        )
        await connection.execute(
            "INSERT INTO messages (channel, sequence, id, client_id, created, data) "
            "VALUES ('project/one', 2, gen_random_uuid(), 'client', 1, '1')"
        )
        for _ in range(2):  # also when it is run again after it was interrupted
            await alembic(empty_database_url, command.upgrade, "0004")
            rows = await connection.fetch("SELECT channel, removed FROM channels ORDER BY 1")
            assert [tuple(row) for row in rows] == [("project/one", 2), ("project/other", 2)]
            await connection.execute("UPDATE alembic_version SET version_num = '0003'")
    finally:
        await connection.close()
