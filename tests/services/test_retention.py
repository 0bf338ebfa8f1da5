"""What is too old goes, by itself, a little at a time, by one of all processes."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import pytest

from app.domain.channel import Channel
from app.domain.query import MessageQuery
from app.errors import Unavailable
from app.services import retention as retention_module
from app.services.retention import Retention
from app.storage.ages import Age, Ages
from app.storage.database import Database
from app.storage.deletion import MessageDeletion
from app.storage.search import MessageSearch
from tests.delivery.recorded import until
from tests.services.processes import CHANNEL, Process, processes
from tests.storage.waiting_room import WaitingRoom

pytestmark = pytest.mark.anyio

DAY = 86_400
EVERYTHING = MessageQuery()


@pytest.fixture(autouse=True)
def always_look_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_module, "_ALL_SECONDS", 0.0)


async def fill(database: Database, channel: Channel, ages_in_seconds: Sequence[float]) -> None:
    """Store messages, the oldest first; the data of each is its age."""
    now = time.time() * 1000
    await database.fetch(
        "INSERT INTO messages (channel, sequence, id, client_id, created, data) "
        "SELECT $1, n, gen_random_uuid(), 'client', created, to_jsonb(age) "
        "FROM unnest($2::bigint[], $3::float8[]) WITH ORDINALITY AS m (created, age, n)",
        *(channel.key, [int(now - 1000 * age) for age in ages_in_seconds], ages_in_seconds),
    )
    await database.fetch(
        "INSERT INTO channels (channel, head, last_created) VALUES ($1, $2, $3)",
        *(channel.key, len(ages_in_seconds), int(now)),
    )


def retention(url: str, database: Database, process: Process, **settings: Any) -> Retention:
    deletion = MessageDeletion(database)
    return Retention(url, Ages(database), deletion, process.deletion, **settings)


async def left(database: Database, channel: Channel = CHANNEL) -> int:
    return await MessageSearch(database).total_count(channel, EVERYTHING)


async def test_only_what_is_too_old_goes_and_everybody_follows(
    database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await fill(database, CHANNEL, [3 * DAY, 2 * DAY, DAY + 60, DAY - 60, 10])
    await fill(database, Channel("project", "young"), [DAY - 60, 5])
    async with processes(database) as both:
        watchers = [await process.watch(EVERYTHING) for process in both]
        keeper = retention(database_url, database, both[0], retention_days=1)
        assert await keeper.round() is False
        for watcher, process in zip(watchers, both, strict=True):
            await watcher.has(b"2")
            assert len(await process.replayed(after_sequence=0)) == 2
        assert await left(database, Channel("project", "young")) == 2
        assert await keeper.round() is False
    lines = [record.message for record in caplog.records if "retention" in record.message]
    assert len(lines) == 1, "a round without work says nothing"
    assert lines[0].startswith("retention: deleted 3 messages of 1 channels in ")


async def test_what_waits_for_a_moderator_grows_old_too(
    database: Database, database_url: str
) -> None:
    room = WaitingRoom(database)
    old, young = await room.hold(), await room.hold()
    await database.fetch(
        "UPDATE held_messages SET created = created - 2 * 86400000 WHERE id = $1::uuid", old.id
    )
    async with processes(database, 1) as (process,):
        keeper = retention(database_url, database, process, retention_days=1)
        assert await keeper.round() is False
    assert await room.waiting() == [young]


async def test_a_channels_own_time_holds_whatever_all_others_have(
    database: Database, database_url: str
) -> None:
    channels = [Channel("project", name) for name in ("longer", "plain", "shorter")]
    longer, _, shorter = channels
    for channel in channels:
        await fill(database, channel, [3 * DAY, 2 * DAY + 60, 600, 10])
    kept = {longer: 10 * DAY, shorter: 60}
    async with processes(database, 1) as (process,):
        policies = retention(database_url, database, process, kept_seconds=lambda: kept)
        await policies.round()
        assert [await left(database, channel) for channel in channels] == [4, 4, 1]
        all_of_them = retention(
            database_url, database, process, retention_days=2, kept_seconds=lambda: kept
        )
        await all_of_them.round()
        assert [await left(database, channel) for channel in channels] == [4, 2, 1]


async def test_retractions_and_what_is_left_of_retracted_messages_go_too(
    database: Database, database_url: str
) -> None:
    await fill(database, CHANNEL, [5])
    now = int(time.time() * 1000)
    for sequence, age in ((10, 2 * DAY), (20, 60)):
        await database.fetch(
            "INSERT INTO retractions (channel, sequence, id, created, ids) "
            "VALUES ($1, $2, gen_random_uuid(), $3, '{}')",
            *(CHANNEL.key, sequence, now - age * 1000),
        )
        await database.fetch(
            "INSERT INTO retracted_messages (channel, sequence, id) "
            "SELECT $1, $2 - n, gen_random_uuid() FROM generate_series(1, 3) AS n",
            *(CHANNEL.key, sequence),
        )
    await database.fetch("UPDATE messages SET sequence = 21")
    await database.fetch("UPDATE channels SET head = 21, removed = 20, retracted = 20")
    async with processes(database, 1) as (process,):
        keeper = retention(database_url, database, process, retention_days=1)
        await keeper.round()
    for table, sequences in (
        *(("messages", [21]), ("retractions", [20]), ("retracted_messages", [17, 18, 19])),
    ):
        rows = await database.fetch(f"SELECT sequence FROM {table} ORDER BY 1")
        assert [row["sequence"] for row in rows] == sequences


async def test_a_long_backlog_is_worked_off_in_turns(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "_CHANNEL_MOST", 60)
    monkeypatch.setattr(retention_module, "_PAGE", 1)
    channels = [Channel("project", name) for name in "ab"]
    for channel in channels:
        await fill(database, channel, [2 * DAY] * 200)
    async with processes(database, 1) as (process,):
        keeper = retention(database_url, database, process, retention_days=1)
        assert await keeper.round() is True
        counts = [await left(database, channel) for channel in channels]
        assert all(0 < one < 200 for one in counts), "the first does not keep the second waiting"
        while await keeper.round():
            pass
        assert [await left(database, channel) for channel in channels] == [0, 0]
        # A round that has no time left ends with its channel; the next one goes on.
        for channel in channels:
            await database.fetch("DELETE FROM channels WHERE channel = $1", channel.key)
            await fill(database, channel, [2 * DAY])
        monkeypatch.setattr(retention_module, "_ROUND_SECONDS", 0)
        assert await keeper.round() is True
        assert [await left(database, channel) for channel in channels] == [0, 1]
        assert await keeper.round() is True
        assert [await left(database, channel) for channel in channels] == [0, 0]


async def test_all_channels_are_looked_at_less_often_than_those_with_a_policy(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "_ALL_SECONDS", 600.0)
    short = Channel("project", "short")
    async with processes(database, 1) as (process,):
        keeper = retention(
            database_url, database, process, retention_days=1, kept_seconds=lambda: {short: 60}
        )
        await keeper.round()
        for channel in (CHANNEL, short):
            await fill(database, channel, [2 * DAY])
        await keeper.round()
        assert [await left(database, channel) for channel in (CHANNEL, short)] == [1, 0]
        keeper._all_at = 0.0
        await keeper.round()
        assert await left(database) == 0


async def test_a_channel_that_failed_is_not_forgotten(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "_ALL_SECONDS", 600.0)
    channels = [Channel("project", name) for name in "ab"]
    for channel in channels:
        await fill(database, channel, [2 * DAY])
    async with processes(database, 1) as (process,):
        keeper = retention(database_url, database, process, retention_days=1)
        delete = process.deletion.delete_up_to

        async def fail_once(*arguments: Any, **more: Any) -> int:
            monkeypatch.setattr(process.deletion, "delete_up_to", delete)
            raise Unavailable("the database is away")

        monkeypatch.setattr(process.deletion, "delete_up_to", fail_once)
        with pytest.raises(Unavailable):
            await keeper.round()
        assert await keeper.round() is True, "the others first"
        assert [await left(database, channel) for channel in channels] == [1, 0]
        assert await keeper.round() is False
        assert [await left(database, channel) for channel in channels] == [0, 0]


class AwayOnce(Ages):
    """Fails the first time."""

    failed = False

    async def page(self, *arguments: Any) -> Sequence[Age]:
        if not self.failed:
            self.failed = True
            raise Unavailable("the database is away")
        return await super().page(*arguments)


async def test_one_of_two_does_it_and_the_other_takes_over(
    database: Database, database_url: str
) -> None:
    connected = "SELECT pid FROM pg_stat_activity WHERE application_name = 'widgetwire retention'"
    await fill(database, CHANNEL, [2 * DAY, 5])
    async with processes(database) as both:
        keepers = [
            Retention(
                database_url,
                AwayOnce(database),
                MessageDeletion(database),
                process.deletion,
                retention_days=1,
                interval_seconds=0.02,
            )
            for process in both
        ]
        for keeper in keepers:
            keeper.start()
        async with asyncio.timeout(20):
            while await left(database) != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        # Whoever leads loses its connection, and with it the lock.
        await database.fetch(f"SELECT pg_terminate_backend(pid) FROM ({connected}) AS leader")
        await database.fetch("DELETE FROM channels")
        await database.fetch("DELETE FROM messages")
        await fill(database, CHANNEL, [2 * DAY, 5])
        async with asyncio.timeout(20):
            while await left(database) != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for keeper in keepers:
            await keeper.stop()
            await keeper.stop()
        async with asyncio.timeout(20):
            while await database.fetch(connected):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_where_nothing_is_to_go_nobody_leads(database: Database, database_url: str) -> None:
    asked = 0

    def kept() -> dict[Channel, int]:
        nonlocal asked
        asked += 1
        return {}

    async with processes(database, 1) as (process,):
        keeper = retention(
            database_url, database, process, kept_seconds=kept, interval_seconds=0.01
        )
        keeper.start()
        await until(lambda: asked > 3)
        leaders = "SELECT FROM pg_stat_activity WHERE application_name = 'widgetwire retention'"
        assert await database.fetch(leaders) == []
        await keeper.stop()
