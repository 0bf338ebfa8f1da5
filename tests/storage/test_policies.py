"""Policies in the table: merged by compare and set, read by version."""

import asyncio
import logging

import asyncpg
import pytest

from app.domain.channel import Channel
from app.domain.policy import DEFAULT_POLICY
from app.storage.database import Database
from app.storage.policies import PolicyStore, StoredPolicy
from app.storage.rules import RulesVersion

pytestmark = pytest.mark.anyio

ONE, OTHER = Channel("project", "one"), Channel("project", "other")
SLOW = DEFAULT_POLICY.changed({"slowModeSeconds": 5, "dataSchema": {"b": 1, "a": [1, "é"]}})
CLOSED = DEFAULT_POLICY.changed({"writers": "NOBODY"})


async def test_what_was_written_is_read_with_its_version(database: Database) -> None:
    store = PolicyStore(database)
    assert await store.read(ONE) == StoredPolicy(ONE, DEFAULT_POLICY, 0)
    assert await store.write(ONE, SLOW, 0) == StoredPolicy(ONE, SLOW, 1)
    assert await store.write(OTHER, CLOSED, 0) == StoredPolicy(OTHER, CLOSED, 2)
    assert await store.read(ONE) == StoredPolicy(ONE, SLOW, 1)
    assert await store.since(-1) == [StoredPolicy(ONE, SLOW, 1), StoredPolicy(OTHER, CLOSED, 2)]
    assert await store.since(1) == [StoredPolicy(OTHER, CLOSED, 2)]
    assert await RulesVersion(database).read() == 2


async def test_a_default_policy_stays_as_a_mark(database: Database) -> None:
    store = PolicyStore(database)
    await store.write(ONE, SLOW, 0)
    assert await store.write(ONE, DEFAULT_POLICY, 1) == StoredPolicy(ONE, DEFAULT_POLICY, 2)
    assert await store.since(1) == [StoredPolicy(ONE, DEFAULT_POLICY, 2)]
    rows = await database.fetch("SELECT policy FROM channel_policies")
    assert [row["policy"] for row in rows] == [None]


async def test_what_somebody_else_changed_meanwhile_is_not_overwritten(database: Database) -> None:
    store = PolicyStore(database)
    assert await store.write(ONE, SLOW, 0)
    assert await store.write(ONE, CLOSED, 0) is None
    assert await store.write(ONE, CLOSED, 7) is None
    assert (await store.read(ONE)).policy == SLOW


async def test_of_those_who_write_at_once_one_wins(database: Database) -> None:
    store = PolicyStore(database)
    written = await asyncio.gather(*(store.write(ONE, SLOW, 0) for _ in range(8)))
    assert sum(one is not None for one in written) == 1


async def test_whoever_reads_a_version_sees_all_changes_up_to_it(
    database: Database, database_url: str
) -> None:
    """A change that took its version first and commits last would be missed for ever."""
    store = PolicyStore(database)
    connection = await asyncpg.connect(database_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "WITH next AS (INSERT INTO rules VALUES (1, 1) ON CONFLICT (id) DO UPDATE "
            "SET version = rules.version + 1 RETURNING version) INSERT INTO channel_policies "
            "SELECT 'project/one', '{}', version FROM next"
        )
        later = asyncio.create_task(store.write(OTHER, CLOSED, 0))
        assert not (await asyncio.wait({later}, timeout=0.1))[0]
        assert await RulesVersion(database).read() == 0
        await transaction.commit()
        written = await later
        assert written is not None
        assert written.version == 2
    finally:
        await connection.close()


async def test_a_policy_that_cannot_be_read_is_left_out_and_can_be_set_anew(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    store = PolicyStore(database)
    await store.write(ONE, SLOW, 0)
    await store.write(OTHER, CLOSED, 0)
    await database.fetch(
        "UPDATE channel_policies SET policy = $1::json WHERE channel = $2",
        '{"writers":"MANY"}',
        ONE.key,
    )
    assert await store.since(-1) == [StoredPolicy(OTHER, CLOSED, 2)]
    assert "cannot read the policy of project/one" in caplog.text
    assert await store.read(ONE) == StoredPolicy(ONE, DEFAULT_POLICY, 1)
    assert await store.write(ONE, SLOW, 1)
