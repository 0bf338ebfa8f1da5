"""Messages are deleted in batches, beside those who publish, and each is counted once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.message import Draft
from app.domain.query import MessageQuery, parse_filters
from app.errors import Unavailable
from app.storage import deletion as deletion_module
from app.storage.database import Database, DatabaseLost
from app.storage.deletion import MessageDeletion
from app.storage.history import MessageHistory
from app.storage.search import MessageSearch
from app.storage.writer import MessageWriter

pytestmark = pytest.mark.anyio

CHANNEL, OTHER = Channel("project", "widget"), Channel("project", "other")
EVERYTHING = MessageQuery()


async def fill(database: Database, number: int, channel: Channel = CHANNEL) -> None:
    """Store messages whose data are 0, 1, 2 and so on."""
    await database.fetch(
        "INSERT INTO messages (channel, sequence, id, client_id, created, data) "
        "SELECT $1, n, gen_random_uuid(), 'client', n, to_jsonb(n - 1) "
        "FROM generate_series(1, $2::bigint) AS n",
        *(channel.key, number),
    )
    await database.fetch(
        "INSERT INTO channels (channel, head, last_created) VALUES ($1, $2::bigint, $2::bigint)",
        *(channel.key, number),
    )


async def collected(batches: AsyncIterator[int]) -> list[int]:
    return [deleted async for deleted in batches]


async def left(database: Database, channel: Channel = CHANNEL) -> int:
    return await MessageSearch(database).total_count(channel, EVERYTHING)


@pytest.mark.parametrize("found_by", ["index", "search"])
async def test_what_matches_is_deleted_batch_by_batch_and_nothing_else(
    database: Database, found_by: str
) -> None:
    for channel in (CHANNEL, OTHER):
        await fill(database, 1_000, channel)
    filters = parse_filters([{"field": "data", "operator": "GTE", "value": 300}])
    query = MessageQuery(filters=filters, up_to=900)
    deletion, search = MessageDeletion(database), MessageSearch(database)

    async def find(after: int, limit: int) -> list[int]:
        return await search.sequences(CHANNEL, query, after, limit)

    found = deletion.finding(CHANNEL, query) if found_by == "index" else find
    batches = await collected(deletion.batches(CHANNEL, found))
    assert sum(batches) == 600
    assert len(batches) > 1
    assert await search.total_count(CHANNEL, MessageQuery(filters=filters)) == 100
    assert await left(database) == 400, "the channel's own counters know"
    assert await left(database, OTHER) == 1_000


async def test_whoever_retracts_or_publishes_and_a_batch_never_wait_in_a_circle(
    database: Database, database_url: str
) -> None:
    """All lock the channel's row before any message: else one of them would be cancelled."""
    await fill(database, 200)
    deletion = MessageDeletion(database, patience_seconds=0)  # a batch is not tried again
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("SELECT FROM channels WHERE channel = $1 FOR UPDATE", CHANNEL.key)
        find = deletion.finding(CHANNEL, MessageQuery(up_to=200))
        deleting = asyncio.create_task(collected(deletion.batches(CHANNEL, find)))
        async with asyncio.timeout(20):
            while not await other.fetch(  # noqa: ASYNC110  Postgres tells nobody
                "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                "AND datname = current_database()"
            ):
                await asyncio.sleep(0.01)
        retract = "DELETE FROM messages WHERE channel = $1 AND sequence <= 10"
        await other.execute(retract, CHANNEL.key)
    await other.close()
    assert sum(await deleting) == 190, "what somebody else has deleted is theirs"
    assert await left(database) == 0


async def test_what_is_published_meanwhile_is_not_found(database: Database) -> None:
    await fill(database, 1_000)
    deletion = MessageDeletion(database)
    writer = MessageWriter(database, lambda _entries: None)

    async def publish() -> None:
        for _ in range(20):
            await writer.write(Draft(CHANNEL, str(uuid7()), "client", None, b'"new"'))

    find = deletion.up_to(CHANNEL, 1_000)
    batches, _ = await asyncio.gather(
        collected(deletion.batches(CHANNEL, find, rest=0.1)), publish()
    )
    assert sum(batches) == 1_000
    assert await left(database) == 20


async def test_a_batch_that_takes_long_is_followed_by_a_smaller_one() -> None:
    size = deletion_module._FIRST_BATCH
    sizes = [size := deletion_module._next_size(size, 0.001) for _ in range(6)]
    assert sizes == [100, 200, 400, 800, 1000, 1000], "twice as many at the most"
    assert deletion_module._next_size(1_000, 0.03) == 500
    assert deletion_module._next_size(20, 10.0) == deletion_module._SMALLEST_BATCH


class Losing:
    """A database whose connection is lost before or after some statements."""

    def __init__(self, database: Database, *, lost: list[bool | None]) -> None:
        self._database = database
        self._lost = lost
        """For each DELETE: whether it is lost after it was carried out; None: it is not lost."""

    async def fetch(self, sql: str, *parameters: Any) -> Any:
        lost = self._lost.pop(0) if "DELETE" in sql and self._lost else None
        if lost is False:
            raise DatabaseLost(sent=False)
        rows = await self._database.fetch(sql, *parameters)
        if lost:
            raise DatabaseLost(sent=True)
        return rows


@pytest.mark.parametrize("lost", [[True], [False], [None, True, False], [False, True]])
async def test_a_lost_connection_neither_loses_nor_doubles_a_count(
    database: Database, lost: list[bool | None]
) -> None:
    await fill(database, 200)
    away: Any = Losing(database, lost=lost)
    deletion = MessageDeletion(away)
    find = MessageDeletion(database).finding(CHANNEL, EVERYTHING)
    assert sum(await collected(deletion.batches(CHANNEL, find))) == 200
    assert await left(database) == 0


async def test_a_database_that_stays_away_ends_it(database: Database) -> None:
    await fill(database, 200)
    away: Any = Losing(database, lost=[None, *[False] * 10_000])
    deletion = MessageDeletion(away, patience_seconds=0.1)
    batches = deletion.batches(CHANNEL, MessageDeletion(database).finding(CHANNEL, EVERYTHING))
    assert await anext(batches) == 50
    with pytest.raises(Unavailable):
        await anext(batches)
    assert await left(database) == 150


async def test_sequences_are_not_used_again(database: Database) -> None:
    await fill(database, 10)
    deletion = MessageDeletion(database)
    await collected(deletion.batches(CHANNEL, deletion.finding(CHANNEL, EVERYTHING)))
    writer = MessageWriter(database, lambda _messages: None)
    await writer.write(Draft(CHANNEL, str(uuid7()), "client", None, b"1"))
    (message,) = await MessageHistory(database).between(CHANNEL, 0, 100, 10)
    assert message.sequence == 11


async def test_the_last_that_is_older_than_a_time_is_a_message_or_a_retraction(
    database: Database,
) -> None:
    await fill(database, 10)  # created at their places
    await database.fetch("DELETE FROM messages WHERE sequence IN (4, 5)")
    await database.fetch(
        "INSERT INTO retractions SELECT $1, n, gen_random_uuid(), n, '{}' "
        "FROM generate_series(11, 13) AS n",
        CHANNEL.key,
    )
    deletion = MessageDeletion(database)
    found = [await deletion.last_before(CHANNEL, created) for created in (0, 1, 2, 6, 11, 13, 99)]
    assert found == [0, 0, 1, 3, 10, 12, 13]
    assert await deletion.last_before(OTHER, 99) == 0
