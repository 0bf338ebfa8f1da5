"""Migration 0003 while old processes serve: their rows and their calls stay good."""

import asyncio
from typing import Any

import asyncpg
import pytest
from alembic import command
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.message import Draft
from app.storage.database import Database
from app.storage.migrations import current_revision, migrate, newest_revision
from app.storage.writer import MessageWriter
from tests.storage.migrated import alembic

pytestmark = pytest.mark.anyio

CHANNEL = Channel("project", "widget")
# What processes of the version before send.
_OLD_CALL = """
    SELECT sequence, id::text AS id, created
    FROM publish_messages($1::text[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[],
                          $6::text[], $7::boolean)
    ORDER BY ordinal
"""


@pytest.fixture
async def url(empty_database_url: str) -> str:
    """A database as the version before made it."""
    await alembic(empty_database_url, command.upgrade, "0002")
    return empty_database_url


async def test_what_is_stored_keeps_its_key_and_the_table_is_not_rewritten(url: str) -> None:
    first = await _old_publish(url, "client", key="vote")
    file = await _value(url, "SELECT pg_relation_filenode('messages')")
    await migrate(url)
    assert await _value(url, "SELECT pg_relation_filenode('messages')") == file
    assert await _publish(url, None, "client", key="vote") == first
    assert await _value(url, "SELECT count(*) FROM messages") == 1


async def test_the_old_call_goes_on_and_agrees_with_the_new_one(url: str) -> None:
    await migrate(url)
    anonymous = await _old_publish(url, "client", key="vote")
    assert await _old_publish(url, "client", key="vote") == anonymous
    assert await _publish(url, None, "client", key="vote") == anonymous
    # The old function took whatever message had that client id and key.
    token = await _publish(url, "sub:anna", "other", key="vote", username="anna")
    assert await _old_publish(url, "other", key="vote") != token
    # A retry without a key is known by the draft's own id.
    unkeyed = str(uuid7())
    for again in (False, True):
        assert await _old_publish(url, "client", id_=unkeyed, again=again) == unkeyed


async def test_a_retry_over_the_upgrade_finds_the_first_message_of_the_same_user(url: str) -> None:
    first = await _old_publish(url, "client", key="vote", username="anna")
    anonymous = await _old_publish(url, "claimed", key="vote")
    await migrate(url)
    assert await _publish(url, "sub:1", "client", key="vote", username="anna") == first
    # Nobody takes a user's key by claiming the user's client id: a username is never claimed.
    assert await _publish(url, "sub:1", "claimed", key="vote", username="anna") != anonymous
    assert await _publish(url, "sub:2", "client", key="vote", username="bob") != first


async def test_publishing_goes_on_while_the_index_is_built(url: str) -> None:
    done = asyncio.Event()
    published: list[str] = []

    async def publish() -> None:
        connection = await asyncpg.connect(url)
        while not done.is_set():
            published.append(await _old_publish(connection, "client", key=str(uuid7())))
        await connection.close()

    publishing = asyncio.create_task(publish())
    await migrate(url)
    done.set()
    await publishing
    assert await _value(url, "SELECT count(*) FROM messages") == len(published)
    assert await _indexes(url) >= {"messages_pkey", "messages_id", "messages_repeat"}


async def test_a_migration_that_was_interrupted_is_finished_by_the_next(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute('ALTER TABLE messages ADD COLUMN publisher text COLLATE "C"')
    # What a build that was killed leaves.
    await connection.execute("CREATE INDEX messages_repeat ON messages (channel)")
    await connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'messages_repeat'::regclass"
    )
    await connection.close()
    await migrate(url)
    assert await current_revision(url) == newest_revision()
    valid = "SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'messages'::regclass"
    assert await _value(url, valid) is True


async def test_there_is_a_way_back(url: str) -> None:
    await migrate(url)
    first = await _publish(url, None, "client", key="vote")
    await alembic(url, command.downgrade, "0002")
    assert await _old_publish(url, "client", key="vote") == first
    await migrate(url)
    assert await _publish(url, None, "client", key="vote") == first


async def _publish(
    url: str, publisher: str | None, client_id: str, *, key: str, username: str | None = None
) -> str:
    """Publish as this version does; return the id of what is stored."""
    database = await Database.connect(url, pool_size=1)
    writer = MessageWriter(database, lambda _messages: None)
    draft = Draft(CHANNEL, str(uuid7()), client_id, username, b"1", key, publisher)
    written = await writer.write(draft)
    await writer.close()
    await database.close()
    assert written.first_id is not None
    return written.first_id


async def _old_publish(
    where: "str | asyncpg.Connection[asyncpg.Record]",
    client_id: str,
    *,
    key: str | None = None,
    username: str | None = None,
    id_: str | None = None,
    again: bool = False,
) -> str:
    """Publish as the version before did; return the id of what is stored."""
    connection = await asyncpg.connect(where) if isinstance(where, str) else where
    try:
        row = await connection.fetchrow(
            _OLD_CALL,
            [CHANNEL.key],
            [id_ or str(uuid7())],
            [client_id],
            [username],
            ["1"],
            [key],
            again,
        )
        assert row is not None
        return str(row["id"])
    finally:
        if isinstance(where, str):
            await connection.close()


async def _value(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def _indexes(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT indexname FROM pg_indexes WHERE tablename='messages'")
        return {row["indexname"] for row in rows}
    finally:
        await connection.close()
