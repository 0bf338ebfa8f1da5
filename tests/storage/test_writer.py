"""Group commit: many drafts, few statements, one order, and nothing twice."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import pytest
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.entry import StoredEntry
from app.domain.message import Draft, Message
from app.embedded.postgres import EmbeddedPostgres
from app.errors import ShuttingDown, Unavailable
from app.storage.database import Database, DatabaseLost, DatabaseRefuses
from app.storage.history import MessageHistory
from app.storage.writer import MessageWriter
from tests.postgres_faults import frozen, refusing

pytestmark = pytest.mark.anyio

CHANNEL = Channel("project", "widget")


def draft(data: bytes = b"1", channel: Channel = CHANNEL, key: str | None = None) -> Draft:
    return Draft(channel, str(uuid7()), "client", None, data, key)


class Watched:
    """The database, seen and disturbed from the writer's side."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.batches: list[int] = []
        self.lose_answers = 0
        """So many statements are carried out, and their answers lost."""
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(
        self, sql: str, *parameters: Any, timeout_seconds: float, on_send: Callable[[], None]
    ) -> list[asyncpg.Record]:
        self.batches.append(len(parameters[0]))
        if not self.open.is_set():
            on_send()  # as if it hung over there
            await self.open.wait()
        rows = await self._database.fetch(
            sql, *parameters, timeout_seconds=timeout_seconds, on_send=on_send
        )
        if self.lose_answers:
            self.lose_answers -= 1
            raise DatabaseLost
        return rows


class Writing:
    def __init__(self, database: Database, **options: Any) -> None:
        self.watched = Watched(database)
        self.told: list[Message] = []
        self.history = MessageHistory(database)
        self.writer = MessageWriter(self.watched, self._on_stored, **options)  # type: ignore[arg-type]

    def _on_stored(self, entries: Sequence[StoredEntry]) -> None:
        self.told.extend(one for one in entries if isinstance(one, Message))

    async def stored(self, channel: Channel = CHANNEL) -> list[Message]:
        entries = await self.history.between(channel, 0, 10_000, 10_000)
        return [one for one in entries if isinstance(one, Message)]


async def test_a_lone_draft_is_written_at_once_and_told_of(database: Database) -> None:
    writing = Writing(database)
    one = draft(b'{"a": 1}')
    written = await writing.writer.write(one)
    assert written.message is not None
    assert written.first_id == one.id == written.message.id
    assert written.message.sequence == 1
    assert writing.watched.batches == [1]
    assert writing.told == await writing.stored() == [written.message]


async def test_drafts_that_arrive_together_share_statements(database: Database) -> None:
    writing = Writing(database, batch_max=50)
    channels = [Channel("project", f"widget{n}") for n in range(3)]
    drafts = [draft(b"%d" % n, channels[n % 3]) for n in range(150)]
    writing.watched.open.clear()
    tasks = [asyncio.create_task(writing.writer.write(one)) for one in drafts]
    await asyncio.sleep(0)
    writing.watched.open.set()
    results = [await task for task in tasks]
    assert writing.watched.batches == [50, 50, 50]
    for index, channel in enumerate(channels):
        stored = await writing.stored(channel)
        assert [m.sequence for m in stored] == list(range(1, 51))
        # In the order of the calls.
        assert [m.id for m in stored] == [one.id for one in drafts[index::3]]
        assert [r.message for r in results[index::3]] == stored


async def test_beyond_the_queues_bound_a_draft_is_refused(database: Database) -> None:
    writing = Writing(database, batch_max=1, queue_max=3)
    writing.watched.open.clear()
    first = asyncio.create_task(writing.writer.write(draft()))
    while not writing.watched.batches:  # noqa: ASYNC110  until it is being written
        await asyncio.sleep(0)
    waiting = [asyncio.create_task(writing.writer.write(draft())) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="3 messages are waiting"):
        await writing.writer.write(draft())
    writing.watched.open.set()
    await asyncio.gather(first, *waiting)
    assert len(await writing.stored()) == 4


@pytest.mark.parametrize("lost", [1, 3])
async def test_an_answer_that_is_lost_does_not_store_twice(database: Database, lost: int) -> None:
    writing = Writing(database)
    writing.watched.lose_answers = lost
    drafts = [draft(key="key"), draft(), draft()]
    written = await asyncio.gather(*map(writing.writer.write, drafts))
    assert [one.first_id for one in written] == [one.id for one in drafts]
    assert [message.id for message in await writing.stored()] == [one.id for one in drafts]
    assert [message.sequence for message in writing.told] == [1, 2, 3]


async def test_a_backend_that_dies_in_the_middle_does_not_store_twice(
    database: Database, database_url: str
) -> None:
    writing = Writing(database)
    blocker = await asyncpg.connect(database_url)
    await writing.writer.write(draft())
    async with blocker.transaction():
        # Holds the channel's row: the next statement waits in the middle of its work.
        await blocker.execute("SELECT * FROM channels FOR UPDATE")
        writes = asyncio.gather(*(writing.writer.write(draft()) for _ in range(5)))
        async with asyncio.timeout(20):
            while not await blocker.fetch(  # noqa: ASYNC110  Postgres tells nobody
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'widgetwire' AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.01)
    await blocker.close()
    written = await writes
    assert sorted(one.message.sequence or 0 for one in written if one.message) == [2, 3, 4, 5, 6]
    assert len(await writing.stored()) == 6


async def test_a_database_that_stays_away_fails_the_drafts_in_time(database: Database) -> None:
    writing = Writing(database, timeout_seconds=0.3)
    writing.watched.lose_answers = 10_000
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="may have been stored"):
            await writing.writer.write(draft())


@pytest.mark.parametrize("lost", [0, 1])
async def test_a_draft_that_postgres_refuses_does_not_take_its_neighbours_along(
    database: Database, lost: int
) -> None:
    """With a lost answer before the refusal, the neighbours were once taken for new."""
    writing = Writing(database)
    writing.watched.open.clear()
    drafts = [draft(b"1"), draft(b"not json"), draft(b"3")]
    tasks = [asyncio.create_task(writing.writer.write(one)) for one in drafts]
    await asyncio.sleep(0)
    writing.watched.lose_answers = lost
    writing.watched.open.set()
    good, bad, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(bad, Exception)
    assert not isinstance(good, BaseException)
    assert not isinstance(other, BaseException)
    assert [message.data_json for message in await writing.stored()] == [b"1", b"3"]


async def test_the_same_key_is_stored_once_in_one_batch_and_in_many(database: Database) -> None:
    writing = Writing(database)
    drafts = [draft(key="key") for _ in range(5)]
    written = await asyncio.gather(*map(writing.writer.write, drafts))
    written.append(await writing.writer.write(draft(key="key")))
    assert {one.first_id for one in written} == {drafts[0].id}
    assert sum(one.message is not None for one in written) == 1
    assert len(await writing.stored()) == 1


async def test_cancelling_a_caller_does_not_take_its_draft_back(database: Database) -> None:
    writing = Writing(database)
    writing.watched.open.clear()
    write = asyncio.create_task(writing.writer.write(draft()))
    await asyncio.sleep(0)
    write.cancel()
    writing.watched.open.set()
    await writing.writer.close()
    assert len(await writing.stored()) == 1


async def test_closing_writes_what_waits_and_refuses_what_comes(database: Database) -> None:
    writing = Writing(database, batch_max=2)
    tasks = [asyncio.create_task(writing.writer.write(draft())) for _ in range(7)]
    await asyncio.sleep(0)
    await writing.writer.close()
    await writing.writer.close()
    assert all(task.done() for task in tasks)
    assert len(await writing.stored()) == 7
    with pytest.raises(ShuttingDown):
        await writing.writer.write(draft())


async def test_two_writers_of_the_same_channels_never_wait_in_a_circle(database: Database) -> None:
    channels = [Channel("project", f"widget{n}") for n in range(5)]
    writers = [Writing(database, batch_max=20) for _ in range(2)]
    async with asyncio.timeout(30):
        await asyncio.gather(
            *(
                one.writer.write(draft(channel=channels[(n * step) % 5]))
                for step, one in ((1, writers[0]), (3, writers[1]))
                for n in range(300)
            )
        )
    for channel in channels:
        stored = await writers[0].stored(channel)
        assert [m.sequence for m in stored] == list(range(1, 121))
        assert [m.created for m in stored] == sorted(m.created for m in stored)


async def test_a_frozen_database_keeps_no_publisher_longer_than_its_time(
    database: Database, postgres: EmbeddedPostgres
) -> None:
    """Each batch once took 11 s, one after another, and those behind had no deadline."""
    writing = Writing(database, timeout_seconds=1.0)
    await writing.writer.write(draft())
    drafts = [draft() for _ in range(2_000)]
    with frozen(postgres):
        async with asyncio.timeout(2):
            results = await asyncio.gather(
                *map(writing.writer.write, drafts), return_exceptions=True
            )
    assert {type(result) for result in results} == {Unavailable}
    # What was under way may come to be stored; what was told not to be, never.
    uncertain = {
        one.id
        for one, result in zip(drafts, results, strict=True)
        if "may have been stored" in str(result)
    }
    assert 1 <= len(uncertain) <= 500
    last = await writing.writer.write(draft(b'"last"'))
    assert last.message is not None
    stored = [message.id for message in await writing.stored()]
    assert len(stored) == len(set(stored))
    assert {one.id for one in drafts} & set(stored) <= uncertain


async def test_a_publish_that_a_thaw_stored_is_found_by_its_key(
    database: Database, postgres: EmbeddedPostgres
) -> None:
    writing = Writing(database, timeout_seconds=0.5)
    await writing.writer.write(draft())
    with frozen(postgres), pytest.raises(Unavailable, match="retry with the same id"):
        await writing.writer.write(draft(key="vote"))
    written = await asyncio.gather(*(writing.writer.write(draft(key="vote")) for _ in range(3)))
    assert len({one.first_id for one in written}) == 1
    assert len(await writing.stored()) == 2


async def test_a_draft_behind_a_statement_that_hangs_leaves_the_queue(database: Database) -> None:
    writing = Writing(database, timeout_seconds=0.3)
    writing.watched.open.clear()
    first = asyncio.create_task(writing.writer.write(draft(b"1")))
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable, match=r"within 0\.3 s; it is not published"):
        await writing.writer.write(draft(b"2"))
    with pytest.raises(Unavailable, match="may have been stored"):
        await first
    writing.watched.open.set()
    await writing.writer.write(draft(b"3"))
    # The first was stored after all, and whoever listens is told of it.
    assert [message.data_json for message in await writing.stored()] == [b"1", b"3"]
    assert [message.data_json for message in writing.told] == [b"1", b"3"]


async def test_a_late_draft_of_a_batch_has_its_own_time(database: Database) -> None:
    writing = Writing(database, timeout_seconds=0.4)
    writing.watched.lose_answers = 1_000_000
    early = asyncio.create_task(writing.writer.write(draft()))
    await asyncio.sleep(0.2)
    late = asyncio.create_task(writing.writer.write(draft()))
    with pytest.raises(Unavailable):
        await early
    writing.watched.lose_answers = 0
    assert (await late).message is not None


async def test_beyond_the_queues_bytes_a_draft_is_refused(database: Database) -> None:
    """Ten thousand drafts of 64 KiB each once fitted into the queue: 640 MB."""
    writing = Writing(database, queue_max_bytes=10_000)
    writing.watched.open.clear()
    large = b'"%s"' % (b"x" * 4_000)
    waiting = [asyncio.create_task(writing.writer.write(draft(large))) for _ in range(1)]
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable, match="messages of 10000 bytes are waiting"):
        await writing.writer.write(draft(b'"%s"' % (b"x" * 8_000)))
    writing.watched.open.set()
    await asyncio.gather(*waiting)
    # What was written makes room.
    for _ in range(5):
        await writing.writer.write(draft(b'"%s"' % (b"x" * 8_000)))


async def test_a_batch_is_bounded_in_bytes(database: Database) -> None:
    writing = Writing(database)
    writing.watched.open.clear()
    megabyte = b'"%s"' % (b"x" * 1024 * 1024)
    writes = [asyncio.create_task(writing.writer.write(draft(megabyte))) for _ in range(7)]
    await asyncio.sleep(0)
    writing.watched.open.set()
    await asyncio.gather(*writes)
    assert writing.watched.batches == [3, 3, 1]


async def test_a_full_disk_is_told_to_each_publisher_and_once_to_the_log(
    database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was once an internal error, with 64 traces for 64 messages."""
    writing = Writing(database)
    async with refusing(database_url):
        results = await asyncio.gather(
            *(writing.writer.write(draft()) for _ in range(64)), return_exceptions=True
        )
    assert {type(result) for result in results} == {DatabaseRefuses}
    assert caplog.messages == ["the database refuses to work: disk full"]
    await writing.writer.write(draft())
    assert len(await writing.stored()) == 1


async def test_a_key_belongs_to_its_publisher_and_not_to_a_client_id(database: Database) -> None:
    """One user's vote under another's client id once took that other's vote away."""
    writing = Writing(database)

    async def vote(publisher: str | None, client_id: str = "client") -> str | None:
        one = Draft(CHANNEL, str(uuid7()), client_id, None, b"1", "vote", publisher)
        return (await writing.writer.write(one)).first_id

    # The tag keeps kinds apart: the last two claim to be others.
    votes = [
        await vote("sub:anna"),
        await vote("sub:bob"),
        await vote(None),
        await vote(None, "sub:anna"),
        await vote(None, "client:client"),
    ]
    assert len(set(votes)) == 5
    assert await vote("sub:anna", "another client") == votes[0]
    assert await vote("sub:bob") == votes[1]
    assert await vote(None) == votes[2]


async def test_one_batch_may_hold_the_same_key_of_two_publishers(database: Database) -> None:
    writing = Writing(database)
    drafts = [
        Draft(CHANNEL, str(uuid7()), "client", None, b"1", "vote", publisher)
        for publisher in ("sub:anna", "sub:bob", None, "sub:anna")
    ]
    written = await asyncio.gather(*map(writing.writer.write, drafts))
    assert [one.first_id for one in written] == [*(one.id for one in drafts[:3]), drafts[0].id]
    assert writing.watched.batches == [3, 1]


async def test_closing_does_not_say_that_a_draft_under_way_was_not_stored(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.group_commit._CLOSED_AFTER_SECONDS", 0.1)
    writing = Writing(database, batch_max=1)
    writing.watched.open.clear()
    tasks = [asyncio.create_task(writing.writer.write(draft())) for _ in range(2)]
    await asyncio.sleep(0.01)
    await writing.writer.close()
    with pytest.raises(Unavailable, match="may have been stored"):
        await tasks[0]
    with pytest.raises(ShuttingDown):
        await tasks[1]
