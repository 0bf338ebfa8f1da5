"""The feed: whatever happens to events, all subscribers see the one order."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.delivery import feed as feed_module
from app.delivery.budget import Budget
from app.delivery.feed import Feed
from app.domain.entry import StoredEntry
from app.domain.message import Head, Message
from tests.delivery.recorded import (
    CHANNEL,
    BrokenRecorder,
    Recorder,
    Table,
    stored,
    transient,
    until,
)

pytestmark = pytest.mark.anyio

TOTAL = 30
ranges = st.tuples(st.integers(1, TOTAL), st.integers(1, 6))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("stored"), ranges),
        st.tuples(st.just("reach"), st.integers(0, TOTAL)),
        st.tuples(st.just("transient"), st.just(0)),
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(st.just("yield"), st.integers(1, 3)),
        st.tuples(st.just("fail"), st.integers(1, 2)),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=60)
@given(steps, st.integers(0, TOTAL))
def test_lost_late_repeated_and_reordered_events_end_in_one_order(
    taken: list[tuple[str, Any]], head: int
) -> None:
    async def run() -> None:
        table = Table(TOTAL)
        feed = Feed(CHANNEL, table)
        joined: list[tuple[Recorder, int]] = []

        def join() -> None:
            recorder = Recorder()
            feed.subscribers[recorder] = None
            assert feed.position is not None
            joined.append((recorder, feed.position))

        transients = 0
        feed.open_at(Head(head, head))
        join()
        for kind, value in taken:
            if kind == "stored":
                first, length = value
                feed.stored([stored(n) for n in range(first, min(first + length, TOTAL + 1))])
            elif kind == "reach":
                feed.reach(value)
            elif kind == "transient":
                transients += 1
                feed.transient(transient())
            elif kind == "join":
                join()
            elif kind == "fail":
                table.fails = value
            else:
                for _ in range(value):
                    await asyncio.sleep(0)
        feed.reach(TOTAL)  # what the poll of the heads says in the end
        for recorder, start in joined:
            if start < TOTAL:
                await recorder.has(TOTAL)
            assert recorder.sequences == list(range(start + 1, TOTAL + 1))
        first_recorder = joined[0][0]
        assert sum(not one.persistent for one in first_recorder.messages) == transients
        feed.close()

    asyncio.run(run())


async def test_events_before_it_is_open_are_not_lost() -> None:
    feed, recorder = Feed(CHANNEL, Table(5)), Recorder()
    feed.stored([stored(5)])
    feed.stored([stored(4)])
    feed.open_at(Head(3, 3))
    feed.subscribers[recorder] = None
    await asyncio.sleep(0)
    assert feed.position == 5
    feed.close()


async def test_the_next_ones_go_on_without_reading() -> None:
    table, recorder = Table(100), Recorder()
    feed = Feed(CHANNEL, table)
    feed.subscribers[recorder] = None
    feed.open_at(Head(0, 0))
    feed.stored([stored(2)])
    feed.stored([stored(1)])
    assert recorder.sequences == [1, 2]
    assert feed._repair is not None
    await feed._repair
    assert table.reads == [], "the hole closed by itself within the grace"


@pytest.mark.parametrize("fails_when_dropped", [False, True])
async def test_a_subscriber_that_fails_is_dropped_and_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture, fails_when_dropped: bool
) -> None:
    """Those behind it missed the message, and its publisher the acknowledgement."""
    feed = Feed(CHANNEL, Table(9))
    broken = BrokenRecorder(2, fails_when_dropped=fails_when_dropped)
    before, behind = Recorder(), Recorder()
    feed.subscribers = dict.fromkeys((before, broken, behind))
    feed.open_at(Head(0, 0))
    for sequence in (1, 2, 3):
        feed.stored([stored(sequence)])
    feed.transient(transient())
    assert before.sequences == behind.sequences == [1, 2, 3]
    assert len(before.messages) == len(behind.messages) == 4
    assert (broken.sequences, broken.drops) == ([1, 2], 1)
    assert "dropped a subscriber of project/widget that failed" in caplog.text


async def test_far_more_than_fits_is_read_from_the_table() -> None:
    table, recorder = Table(6_000), Recorder()
    feed = Feed(CHANNEL, table)
    feed.subscribers[recorder] = None
    feed.open_at(Head(0, 0))
    feed.stored([stored(n) for n in range(2, 6_001)])
    await recorder.has(6_000)
    assert recorder.sequences == list(range(1, 6_001))
    feed.close()


async def test_what_waits_for_its_turn_is_bounded_in_bytes_over_all_feeds() -> None:
    """2,000 a feed might wait, of up to 64 KiB each: 128 MB, in every channel with a hole."""
    budget = Budget(2_000, 1_000_000)
    table, recorder = Table(100, size=60_000), Recorder()
    feed, other = (Feed(CHANNEL, table, budget) for _ in range(2))
    feed.subscribers[recorder] = None
    for each in (feed, other):
        each.open_at(Head(0, 0))
        each.stored([stored(n, 60_000) for n in range(2, 101)])
        assert len(feed._ahead) + len(other._ahead) == 16
    await recorder.has(100)
    assert recorder.sequences == list(range(1, 101))
    await until(lambda: other.position == 100)
    assert str(budget) == "0 with 0 bytes"
    feed.stored([stored(200)])
    feed.close()
    other.close()
    assert str(budget) == "0 with 0 bytes"


async def test_deleted_messages_do_not_hold_it_up() -> None:
    class Emptied(Table):
        async def between(self, *_: object) -> Any:
            return []

    feed = Feed(CHANNEL, Emptied(10))
    feed.open_at(Head(0, 0))
    feed.reach(10)
    await until(lambda: feed.position == 10)
    recorder = Recorder()
    feed.subscribers[recorder] = None
    feed.stored([stored(11)])
    assert recorder.sequences == [11]
    feed.close()


# A channel that counts anew.


def anew(table: Table, head: int = 0) -> None:
    """Delete the channel's rows and its counter by hand, and store so many anew."""
    table.created_after += 1_000
    table.head = head


def newly(table: Table, *sequences: int) -> list[Message]:
    return [stored(n, created_after=table.created_after) for n in sequences]


async def opened(table: Table) -> tuple[Feed, Recorder]:
    feed, recorder = Feed(CHANNEL, table), Recorder()
    feed.subscribers[recorder] = None
    feed.open_at((await table.heads([CHANNEL]))[CHANNEL])
    return feed, recorder


async def test_a_head_with_more_messages_removed_is_told_once() -> None:
    table = Table(3)
    feed, recorder = await opened(table)
    assert feed.place is not None
    feed.compare(feed.place, Head(3, 3, removed=2))
    feed.compare(feed.place, Head(3, 3, removed=2))
    assert (recorder.removals, table.forgotten, recorder.restarts) == (1, 1, [])


async def test_whoever_reads_a_head_tells_of_deletions_and_an_old_head_tells_nothing() -> None:
    feed, recorder = await opened(Table(3))
    for removed, told in ((1, 1), (1, 1), (3, 2), (2, 2)):
        feed.notice(Head(3, 3, removed))
        assert recorder.removals == told


async def test_a_head_below_the_position_begins_anew_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client missed as many messages as there had been, and nothing was logged."""
    table = Table(3)
    feed, recorder = await opened(table)
    anew(table)
    assert feed.place is not None
    feed.compare(feed.place, Head(0, 0))
    await until(lambda: recorder.restarts == [0])
    for sequence in range(1, 6):
        table.head = sequence
        feed.stored(newly(table, sequence))
    await recorder.has(5)
    assert recorder.sequences == [1, 2, 3, 4, 5]
    assert caplog.text.count("restarts its message numbers") == 1
    assert table.forgotten == 1
    feed.close()


@pytest.mark.parametrize("dispatched", [0, 2], ids=["right after opening", "later"])
@pytest.mark.parametrize("inline", [True, False])
async def test_a_message_newer_than_its_place_begins_anew_before_any_poll(
    dispatched: int, inline: bool
) -> None:
    """With ten published at once the head is above the position when the poll looks."""
    table = Table(3)
    feed, recorder = await opened(table)
    table.head += dispatched
    for sequence in range(4, 4 + dispatched):
        feed.stored([stored(sequence)])
    recorder.messages.clear()
    anew(table, 10)
    for message in newly(table, *range(1, 11)):
        if inline:
            feed.stored([message])
        else:
            assert message.sequence is not None
            feed.committed(message.sequence, message.sequence, message.created)
    await recorder.has(10)
    assert recorder.sequences == list(range(1, 11))
    assert {one.created for one in recorder.messages} == set(range(1_001, 1_011))
    assert recorder.restarts == [0]
    feed.close()


async def test_late_events_of_the_count_that_is_gone_change_nothing() -> None:
    table = Table(8)
    feed, recorder = await opened(table)
    anew(table, 2)
    feed.stored(newly(table, 1, 2))
    await recorder.has(2)
    feed.stored([stored(9), stored(10)])
    feed.committed(11, 12, 12)
    feed.reach(12)
    await until(lambda: feed._repair is None)
    assert feed.position == 2
    for sequence in range(3, 14):
        table.head = sequence
        feed.stored(newly(table, sequence))
    await recorder.has(13)
    assert recorder.sequences == list(range(1, 14))
    assert all(one.created > 1_000 for one in recorder.messages)
    assert recorder.restarts == [0]
    feed.close()


async def test_a_database_that_lost_its_newest_messages_repeats_none_of_the_others() -> None:
    """A standby that took over, or a backup: what is there was dispatched, but for what is new."""

    class Restored(Table):
        async def between(self, *arguments: Any) -> list[StoredEntry]:
            page = await super().between(*arguments)
            return [
                one if one.sequence <= 97 else stored(one.sequence, created_after=1_000)
                for one in page
                if one.sequence
            ]

    table = Restored(100)
    feed, recorder = await opened(table)
    table.head = 97
    assert feed.place is not None
    feed.compare(feed.place, Head(97, 97))
    await until(lambda: recorder.restarts == [97])
    table.head = 99
    feed.reach(99)
    await recorder.has(99)
    assert [one.created for one in recorder.messages] == [1_098, 1_099]
    assert len(table.reads) < 20
    feed.close()


async def test_what_was_stored_in_the_same_millisecond_is_not_passed_over() -> None:
    class SameMillisecond(Table):
        async def between(self, *arguments: Any) -> list[StoredEntry]:
            return [replace(one, created=7) for one in await super().between(*arguments)]

    table = SameMillisecond(12)
    feed, recorder = Feed(CHANNEL, table), Recorder()
    feed.subscribers[recorder] = None
    feed.open_at(Head(10, 7))
    feed.committed(9, 12, 8)  # a message that cannot be: its clock ran ahead
    await recorder.has(12)
    assert recorder.sequences == [11, 12]
    feed.close()


async def test_repeated_events_are_no_new_count() -> None:
    table = Table(5)
    feed, recorder = await opened(table)
    for sequence in (6, 7, 6, 5, 7, 8):
        table.head = max(table.head, sequence)
        feed.stored([stored(sequence)])
        feed.committed(sequence, sequence, sequence)
        feed.committed(sequence, sequence, 0)  # of a process that does not tell it yet
    assert recorder.sequences == [6, 7, 8]
    assert recorder.restarts == []
    feed.close()


async def test_events_are_believed_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_DISTRUST_SECONDS", 0.05)
    table = Table(3)
    feed, recorder = await opened(table)
    anew(table, 1)
    feed.stored(newly(table, 1))
    await recorder.has(1)
    await asyncio.sleep(0.06)
    reads = len(table.reads)
    feed.stored(newly(table, 2))
    assert recorder.sequences == [1, 2]
    assert len(table.reads) == reads
    feed.close()
