"""What is deleted is gone: from the table, and from all that was kept of it in any process."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.delivery import hub as hub_module
from app.domain.query import MessageQuery, parse_filters
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import (
    BadUserInput,
    Forbidden,
    Rejected,
    Unauthenticated,
    Unavailable,
    UnknownCursor,
)
from app.services import deletion as deletion_module
from app.services.deletion import DeletionService
from app.services.live import kept_searches
from app.storage import deletion as storage_deletion
from app.storage.database import Database
from app.storage.deletion import MessageDeletion
from app.storage.search import MessageSearch
from app.storage.search_lanes import SearchLanes
from tests.delivery.recorded import until
from tests.services.processes import ADMIN, CHANNEL, Process, processes
from tests.storage.stored import PROPERTY, Stored
from tests.storage.test_deletion import fill
from tests.storage.waiting_room import WaitingRoom

pytestmark = pytest.mark.anyio

EVERYTHING = MessageQuery()


def below(number: int) -> tuple[Any, ...]:
    return parse_filters([{"field": "data", "operator": "LT", "value": number}])


@pytest.fixture(autouse=True)
def keep_short_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_searches, "_LONG", 1)


async def is_cursor(process: Process, message_id: str) -> bool:
    try:
        await process.replayed(after=message_id)
    except UnknownCursor:
        return False
    return True


async def test_nothing_deleted_is_shown_after_the_answer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cursors, pages of replays and counts were kept in memory by both processes."""
    monkeypatch.setattr(hub_module, "_POLL_SECONDS", 60)  # nobody finds it by chance
    async with processes(database) as both:
        ids = [await both[0].publish(number) for number in range(6)]
        matching = MessageQuery(filters=below(100))
        watchers = []
        for process in both:
            assert await process.replayed(after=ids[1]) == [b"2", b"3", b"4", b"5"]
            assert await process.replayed(after_sequence=0) == [b"%d" % n for n in range(6)]
            assert await process.total(matching) == 6
            watchers.append(await process.watch(EVERYTHING))
            await watchers[-1].has(b"6")
        assert await both[0].deletion.delete_messages(ADMIN, CHANNEL, below(4)) == 4
        own, other = both
        assert await own.replayed(after_sequence=0) == [b"4", b"5"]
        assert [await is_cursor(own, one) for one in ids] == [False] * 4 + [True] * 2
        assert await own.total(matching) == 2
        async with asyncio.timeout(1):
            while await is_cursor(other, ids[1]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await other.replayed(after_sequence=0) == [b"4", b"5"]
        assert await other.total(matching) == 2
        for watcher in watchers:
            await watcher.has(b"2")


async def test_what_waits_for_a_moderator_goes_with_the_whole_channel(database: Database) -> None:
    await fill(database, 3)
    room = WaitingRoom(database, CHANNEL)
    for _ in range(60):  # two batches
        await room.hold()
    async with processes(database, 1) as (process,):
        assert await process.deletion.delete_messages(ADMIN, CHANNEL, below(2)) == 2
        assert len(await room.waiting()) == 60
        assert await process.deletion.delete_messages(ADMIN, CHANNEL) == 1
    assert await room.waiting() == []
    later = await room.hold()
    assert await room.held.after(CHANNEL, 0, 10) == [(61, later)]


async def test_what_is_published_meanwhile_stays(database: Database) -> None:
    await fill(database, 500)
    async with processes(database, 1) as (process,):
        deleting = asyncio.create_task(process.deletion.delete_messages(ADMIN, CHANNEL))
        published = 0
        while not deleting.done():
            await process.publish("new")
            published += 1
        assert await deleting + await process.total(EVERYTHING) == 500 + published
        assert await deleting >= 500
        rest = await process.total(EVERYTHING)
        assert rest >= published - 1, "but for one that came before it began"
        assert await process.deletion.delete_messages(ADMIN, CHANNEL) == rest
        assert await process.deletion.delete_messages(ADMIN, CHANNEL) == 0


async def test_a_key_is_free_again(database: Database) -> None:
    async with processes(database, 1) as (process,):
        first = await process.publish(1, key="vote")
        assert await process.publish(2, key="vote") == first
        await process.deletion.delete_messages(ADMIN, CHANNEL, below(2))
        second = await process.publish(3, key="vote")
        assert second != first
        assert await process.replayed(after_sequence=0) == [b"3"]


async def test_with_the_whole_channel_goes_what_is_left_of_retracted_messages(
    database: Database,
) -> None:
    traces = "SELECT (SELECT count(*) FROM retractions) + (SELECT count(*) FROM retracted_messages)"
    bob = Viewer("Bob", DEFAULT_PERMISSIONS, subject="bob")
    async with processes(database) as (own, other):
        kept = await own.publish("kept")
        spent = (await own.messages.publish(bob, CHANNEL, 1, idempotency_key="key")).id
        assert await own.messages.retract(ADMIN, CHANNEL, [spent]) == 1
        assert await other.replayed(after=spent) == []
        with pytest.raises(Rejected):
            await own.messages.publish(bob, CHANNEL, 2, idempotency_key="key")
        # A filter chooses messages; there is none in what is left of one.
        assert await own.deletion.delete_messages(ADMIN, CHANNEL, below(100)) == 0
        assert (await database.fetch(traces))[0][0] == 2
        assert await own.deletion.delete_messages(ADMIN, CHANNEL) == 1
        assert (await database.fetch(traces))[0][0] == 0
        assert not await is_cursor(own, spent)
        assert not await is_cursor(own, kept)
        async with asyncio.timeout(1):
            while await is_cursor(other, spent):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await own.messages.publish(bob, CHANNEL, 3, idempotency_key="key")
        assert await own.replayed(after_sequence=0) == [b"3"]
        head = (await own.history.heads([CHANNEL]))[CHANNEL]
        assert (head.sequence, head.removed, head.retracted) == (4, 3, 2)


@pytest.mark.parametrize(
    ("viewer", "error"),
    [
        (Viewer(None, DEFAULT_PERMISSIONS, anonymous=True), Unauthenticated),
        (Viewer(None, frozenset(Permission), anonymous=True), Unauthenticated),
        (Viewer("M", DEFAULT_PERMISSIONS | {Permission.MODERATE}), Forbidden),
        (Viewer("A", frozenset(Permission), projects=frozenset({"other"})), Forbidden),
    ],
)
async def test_only_administrators_of_the_project_delete(
    database: Database, viewer: Viewer, error: type[Exception]
) -> None:
    async with processes(database, 1) as (process,):
        await process.publish(1)
        with pytest.raises(error):
            await process.deletion.delete_messages(viewer, CHANNEL)
        assert await process.total(EVERYTHING) == 1


async def test_what_no_search_may_read_no_deletion_reads(database: Database) -> None:
    await fill(database, 6_000)
    search = MessageSearch(SearchLanes(database, database, max_scan=5_500))
    async with processes(database, 1, search) as (process,):
        with pytest.raises(BadUserInput, match="would read 6000 messages, at most 5500"):
            await process.deletion.delete_messages(ADMIN, CHANNEL, below(3))
        assert await process.total(EVERYTHING) == 6_000
        # All of it needs no search.
        assert await process.deletion.delete_messages(ADMIN, CHANNEL) == 6_000


class Ending(MessageDeletion):
    """A deletion to which something happens after its second batch: 150 messages."""

    def __init__(self, database: Database, after: "Any") -> None:
        super().__init__(database, patience_seconds=0)
        self._batches = count(1)
        self._after = after

    async def _delete(self, channel: Any, table: str, sequences: Sequence[int]) -> int:
        deleted = await super()._delete(channel, table, sequences)
        if next(self._batches) == 2:
            await self._after()
        return deleted


@pytest.fixture
async def process(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    monkeypatch.setattr(storage_deletion, "_next_size", lambda _size, _took: 100)
    await fill(database, 500)
    async with processes(database, 1) as (one,):
        yield one


async def test_a_database_lost_on_the_way_is_told_with_what_is_gone(
    database: Database, process: Process
) -> None:
    async def lose() -> None:
        raise Unavailable("the database is away")

    service = DeletionService(
        process.hub, process.history, MessageSearch(database), Ending(database, lose)
    )
    watcher = await process.watch(EVERYTHING)
    with pytest.raises(
        Unavailable, match=r"is away; 50 messages were deleted, possibly more: retry"
    ):
        await service.delete_messages(ADMIN, CHANNEL)
    await watcher.has(b"350")
    assert await process.total(EVERYTHING) == 350


async def test_a_process_that_ends_stops_between_two_batches(
    database: Database, process: Process
) -> None:
    service: DeletionService

    async def close() -> None:
        service.close()

    service = DeletionService(
        process.hub, process.history, MessageSearch(database), Ending(database, close)
    )
    with pytest.raises(Unavailable, match=r"restarting; 150 messages were deleted"):
        await service.delete_messages(ADMIN, CHANNEL)
    assert await process.total(EVERYTHING) == 350


async def test_a_cancelled_one_is_told_of_all_the_same(
    database: Database, process: Process
) -> None:
    deleted = asyncio.Event()

    async def wait() -> None:
        deleted.set()
        await asyncio.Event().wait()

    service = DeletionService(
        process.hub, process.history, MessageSearch(database), Ending(database, wait)
    )
    watcher = await process.watch(EVERYTHING)
    deleting = asyncio.create_task(service.delete_messages(ADMIN, CHANNEL))
    await deleted.wait()
    deleting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deleting
    await watcher.has(b"350")


async def test_a_long_one_is_told_of_on_the_way(
    database: Database, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_module, "_TELL_SECONDS", 0)
    watcher = await process.watch(EVERYTHING)
    seen: list[bytes] = []

    async def look() -> None:
        await until(lambda: len(watcher.payloads) > 1)
        seen.extend(watcher.payloads)

    service = DeletionService(
        process.hub, process.history, MessageSearch(database), Ending(database, look)
    )
    assert await service.delete_messages(ADMIN, CHANNEL) == 500
    # The second batch may be gone by the time that the first one's result is read.
    assert seen in ([b"500", b"450"], [b"500", b"350"])
    await watcher.has(b"0")


STEP = st.one_of(
    st.tuples(st.just("publish"), st.integers(0, 1), st.integers(0, 5)),
    st.tuples(st.just("delete"), st.integers(0, 1), st.integers(0, 6)),
)


@settings(PROPERTY, max_examples=25)
@given(st.lists(STEP, max_size=12))
def test_both_processes_always_show_what_a_plain_list_would(
    stored: Stored, steps: list[tuple[str, int, int]]
) -> None:
    stored.store([])
    stored.run(followed(stored.database, steps))


async def followed(database: Database, steps: list[tuple[str, int, int]]) -> None:
    model: list[int] = []
    query = MessageQuery(filters=below(3))
    async with processes(database) as both:
        watchers = [await process.watch(query) for process in both]
        for step, place, number in steps:
            process = both[place]
            if step == "publish":
                await process.publish(number)
                model.append(number)
            else:
                filters = below(number) if number < 6 else ()
                gone = [one for one in model if one < number or not filters]
                assert await process.deletion.delete_messages(ADMIN, CHANNEL, filters) == len(gone)
                model = [one for one in model if not (one < number or not filters)]
            shown = [b"%d" % one for one in model]
            matching = len([one for one in model if one < 3])
            assert await process.replayed(after_sequence=0) == shown
            assert await process.total(query) == matching
        for process, watcher in zip(both, watchers, strict=True):
            await watcher.has(b"%d" % len([one for one in model if one < 3]))
            async with asyncio.timeout(1):
                shown = [b"%d" % one for one in model]
                while await process.replayed(after_sequence=0) != shown:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
