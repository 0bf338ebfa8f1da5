"""The feed: whatever happens to events, all subscribers see the one order."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.delivery.feed import Feed
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
        feed.open_at(head)
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
    feed.open_at(3)
    feed.subscribers[recorder] = None
    await asyncio.sleep(0)
    assert feed.position == 5
    feed.close()


async def test_the_next_ones_go_on_without_reading() -> None:
    table, recorder = Table(100), Recorder()
    feed = Feed(CHANNEL, table)
    feed.subscribers[recorder] = None
    feed.open_at(0)
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
    feed.open_at(0)
    for sequence in (1, 2, 3):
        feed.stored([stored(sequence)])
    feed.transient(transient())
    assert before.sequences == behind.sequences == [1, 2, 3]
    assert len(before.messages) == len(behind.messages) == 4
    assert (broken.sequences, broken.drops) == ([1, 2], 1)
    assert "a subscriber of project/widget failed" in caplog.text


async def test_far_more_than_fits_is_read_from_the_table() -> None:
    table, recorder = Table(6_000), Recorder()
    feed = Feed(CHANNEL, table)
    feed.subscribers[recorder] = None
    feed.open_at(0)
    feed.stored([stored(n) for n in range(2, 6_001)])
    await recorder.has(6_000)
    assert recorder.sequences == list(range(1, 6_001))
    feed.close()


async def test_deleted_messages_do_not_hold_it_up() -> None:
    class Emptied(Table):
        async def between(self, *_: object) -> Any:
            return []

    feed = Feed(CHANNEL, Emptied(10))
    feed.open_at(0)
    feed.reach(10)
    await until(lambda: feed.position == 10)
    recorder = Recorder()
    feed.subscribers[recorder] = None
    feed.stored([stored(11)])
    assert recorder.sequences == [11]
    feed.close()
