"""Slow mode and rates in the table: they hold over all processes, in one round trip."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import pytest
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.entry import StoredEntry
from app.domain.message import Draft
from app.domain.policy import Pacing
from app.errors import RateLimited
from app.storage.database import Database
from app.storage.history import MessageHistory
from app.storage.writer import MessageWriter
from tests.storage.test_writer import Watched

pytestmark = pytest.mark.anyio

ONE, OTHER = Channel("project", "one"), Channel("project", "other")
SLOW = Pacing(1000, 0)


def draft(
    publisher: str | None = "sub:ann",
    channel: Channel = ONE,
    *,
    key: str | None = None,
    replaces: bool = False,
    client_id: str = "client",
) -> Draft:
    retraction_id = str(uuid7()) if replaces else None
    return Draft(channel, str(uuid7()), client_id, None, b"1", key, publisher, retraction_id)


@dataclass
class Process:
    """A writer of its own, and what it told."""

    writer: MessageWriter
    told: list[StoredEntry]
    database: Watched

    async def waits(self, *drafts: Draft, pacing: Pacing | None = SLOW) -> list[int | None]:
        """Write at once; return how many milliseconds each has to wait; None: it was stored."""
        results = await asyncio.gather(
            *(self.writer.write(one, pacing) for one in drafts), return_exceptions=True
        )
        waits: list[int | None] = []
        for result in results:
            if isinstance(result, RateLimited):
                waits.append(result.retry_after_ms)
            elif isinstance(result, BaseException):
                raise result
            else:
                waits.append(None)
        return waits


def process(database: Database) -> Process:
    told: list[StoredEntry] = []
    watched = Watched(database)

    def on_stored(entries: Sequence[StoredEntry]) -> None:
        told.extend(entries)

    return Process(MessageWriter(watched, on_stored), told, watched)  # type: ignore[arg-type]


@pytest.fixture
async def two(database: Database) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes on one database."""
    one, other = process(database), process(database)
    yield one, other
    for each in (one, other):
        await each.writer.close()


async def later(database: Database, seconds: float) -> None:
    """Let time pass: what was noted is older."""
    await database.fetch("UPDATE publish_times SET at = at - $1", int(seconds * 1_000_000))


async def stored(database: Database, channel: Channel = ONE) -> int:
    head = (await MessageHistory(database).heads([channel]))[channel]
    return head.sequence


async def test_a_publisher_waits_whatever_process_it_comes_to(
    database: Database, two: tuple[Process, Process]
) -> None:
    one, other = two
    assert await one.waits(draft()) == [None]
    (wait,) = await other.waits(draft())
    assert wait is not None
    assert 990_000 < wait <= 1_000_000
    # Nobody else does, nor the same person elsewhere; and what waits takes no place.
    assert await other.waits(draft("sub:bob"), draft(channel=OTHER)) == [None, None]
    assert await other.waits(draft(None), draft(None, client_id="another")) == [None, None]
    assert await one.waits(draft(None)) != [None]
    assert await stored(database) == 4
    assert len(other.told) == 4
    await later(database, 1001)
    assert await other.waits(draft()) == [None]


async def test_of_one_batch_the_first_of_each_publisher_is_stored(
    two: tuple[Process, Process],
) -> None:
    one, _ = two
    await one.waits(draft("sub:early"))
    drafts = [draft(), draft("sub:bob"), draft(), draft("sub:early"), draft("sub:bob"), draft()]
    waits = await one.waits(*drafts)
    assert [wait is None for wait in waits] == [True, True, False, False, False, False]
    assert [entry.id for entry in one.told[1:]] == [drafts[0].id, drafts[1].id]
    assert [entry.sequence for entry in one.told] == [1, 2, 3]


async def test_a_channel_keeps_to_its_rate_over_all_processes(
    database: Database, two: tuple[Process, Process]
) -> None:
    pacing = Pacing(0, 4)
    one, other = two
    assert await one.waits(*(draft() for _ in range(3)), pacing=pacing) == [None] * 3
    waits = await other.waits(*(draft("sub:bob") for _ in range(3)), pacing=pacing)
    assert waits[0] is None
    assert [wait is not None and 0 < wait <= 500 for wait in waits[1:]] == [True, True]
    await later(database, 0.25)
    assert await one.waits(draft(), pacing=pacing) == [None]
    await later(database, 100)
    waits = await other.waits(*(draft() for _ in range(9)), pacing=pacing)
    assert waits.count(None) == 4
    assert await stored(database) == 9


async def test_what_waits_for_one_reason_does_not_count_for_the_other(
    database: Database, two: tuple[Process, Process]
) -> None:
    one, _ = two
    both = Pacing(1000, 2)
    waits = await one.waits(
        draft(), draft(), draft(), draft("sub:bob"), draft("sub:cid"), pacing=both
    )
    assert [wait is None for wait in waits] == [True, False, False, True, False]
    await later(database, 1)
    assert await one.waits(draft("sub:cid"), pacing=both) == [None]


async def test_drafts_without_pacing_in_the_same_batch_are_stored(
    two: tuple[Process, Process],
) -> None:
    one, _ = two
    await one.waits(draft())
    mixed = await asyncio.gather(
        one.writer.write(draft("sub:mo")),
        one.writer.write(draft(), SLOW),
        one.writer.write(draft("sub:mo")),
        return_exceptions=True,
    )
    assert [isinstance(one, RateLimited) for one in mixed] == [False, True, False]


async def test_a_retry_finds_its_message_whatever_the_pause(
    database: Database, two: tuple[Process, Process]
) -> None:
    one, other = two
    first = draft(key="vote")
    assert await one.waits(first) == [None]
    written = await other.writer.write(draft(key="vote"), SLOW)
    assert (written.message, written.first_id) == (None, first.id)
    # A replacement is a new message, and waits.
    assert await other.waits(draft(key="vote", replaces=True)) != [None]
    await later(database, 1001)
    assert await other.waits(draft(key="vote", replaces=True)) == [None]
    assert await stored(database) == 3


async def test_an_answer_that_was_lost_is_found_again_not_paced_again(
    two: tuple[Process, Process],
) -> None:
    one, _ = two
    one.database.lose_answers = 1
    drafts = [draft(), draft("sub:bob"), draft()]
    assert [wait is None for wait in await one.waits(*drafts)] == [True, True, False]
    assert [entry.id for entry in one.told] == [drafts[0].id, drafts[1].id]


async def test_nobody_waits_for_a_time_that_the_clock_was_set_back_from(
    database: Database, two: tuple[Process, Process]
) -> None:
    """Slow mode and rates once shut a channel for as long as the clock was set back by."""
    one, other = two
    both = Pacing(10, 1)
    assert await one.waits(draft(), pacing=both) == [None]
    await later(database, -3600)
    assert await other.waits(draft(), pacing=both) == [None]
    # From then on as ever.
    waits = await one.waits(draft(), draft("sub:bob"), pacing=both)
    assert all(wait is not None and 0 < wait <= 10_000 for wait in waits)


async def test_what_is_older_than_a_day_is_forgotten(
    database: Database, two: tuple[Process, Process]
) -> None:
    one, _ = two
    await one.waits(*(draft(f"sub:{number}") for number in range(5)))
    await later(database, 86_401)
    await one.waits(draft("sub:new", OTHER))
    rows = await database.fetch("SELECT channel, publisher FROM publish_times")
    assert [tuple(row) for row in rows] == [(OTHER.key, "sub:new")]


async def test_many_in_many_channels_from_two_processes_wait_for_each_other_in_no_circle(
    database: Database, two: tuple[Process, Process]
) -> None:
    channels = [Channel("project", f"{number}") for number in range(8)]
    drafts = [draft(f"sub:{n % 3}", channels[n % 8]) for n in range(240)]
    waits = await asyncio.gather(
        *(
            each.waits(*(replace(one, id=str(uuid7())) for one in order), pacing=Pacing(1000, 100))
            for each, order in zip(two, (drafts, drafts[::-1]), strict=True)
        )
    )
    # Three publishers in eight channels, each once, whichever process it was.
    assert sum(wait is None for each in waits for wait in each) == 24
    for channel in channels:
        assert await stored(database, channel) == 3


async def test_every_statement_locks_channels_in_one_order(database: Database) -> None:
    """By bytes: by the database's locale, "a" is before "B" in one of two batches that meet."""
    rows = await database.fetch(
        "SELECT proname FROM pg_proc WHERE prosrc LIKE '%ON CONFLICT (channel)%' "
        "AND prosrc LIKE '%COLLATE \"default\"%'"
    )
    assert rows == []
