"""The hub: who joins hears everything from then on, over processes too, whatever gets lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from app.delivery import hub as hub_module
from app.delivery import supervision
from app.delivery.bus import Bus
from app.delivery.feed import Feed
from app.delivery.groups import FanOut
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.message import Head, Message
from app.domain.query import EVERY_MESSAGE
from app.errors import Unavailable
from app.services.live.messages import MessageSource
from tests.delivery.recorded import (
    CHANNEL,
    JoinedBackend,
    Recorder,
    Table,
    stored,
    transient,
    until,
)

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def hubs(table: Table, number: int = 1) -> AsyncIterator[list[Hub]]:
    """Run the hubs of several processes on one bus, in memory."""
    ends: list[JoinedBackend] = []
    made = [Hub(Bus(JoinedBackend(ends), f"process {each}"), table) for each in range(number)]
    for one in made:
        await one.start()
    try:
        yield made
    finally:
        for one in made:
            await one.stop()


def commit(table: Table, hub: Hub, number: int) -> None:
    """Store the next messages as the writer of a process does."""
    first = table.head + 1
    table.head += number
    hub.publish_stored(
        [stored(n, created_after=table.created_after) for n in range(first, first + number)]
    )


async def test_all_processes_hear_what_one_publishes() -> None:
    table = Table(5)
    async with hubs(table, 2) as (own, other):
        here, there = Recorder(), Recorder()
        assert await own.join(CHANNEL, here) == await other.join(CHANNEL, there) == 5
        commit(table, own, 3)
        own.publish_transient(transient())
        await there.has(8)
        await until(lambda: len(there.messages) == 4)
        assert here.sequences == there.sequences == [6, 7, 8]
        assert len(here.messages) == 4, "its own events do not come back to it"


async def test_a_channel_that_cannot_be_dispatched_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is committed is acknowledged, whatever becomes of its dispatch: the table has it."""
    table = Table()
    async with hubs(table) as (hub,):
        recorder = Recorder()
        await hub.join(CHANNEL, recorder)
        stored_in_feed = Feed.stored
        failures = iter([ZeroDivisionError])

        def fails_once(feed: Feed, messages: Sequence[Message]) -> None:
            for error in failures:
                raise error
            stored_in_feed(feed, messages)

        monkeypatch.setattr(Feed, "stored", fails_once)
        commit(table, hub, 1)
        await recorder.has(1)


async def test_other_channels_notice_nothing() -> None:
    table = Table()
    async with hubs(table) as (hub,):
        here, elsewhere = Recorder(), Recorder()
        await hub.join(CHANNEL, here)
        await hub.join(Channel("project", "other"), elsewhere)
        commit(table, hub, 1)
        assert here.sequences == [1]
        assert elsewhere.messages == []


async def test_who_left_hears_nothing_and_the_feed_lingers_for_a_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "_LINGER_SECONDS", 0.05)
    table = Table()
    async with hubs(table) as (hub,):
        gone, back = Recorder(), Recorder()
        await hub.join(CHANNEL, gone)
        hub.leave(CHANNEL, gone)
        hub.leave(CHANNEL, gone)
        assert CHANNEL in hub._feeds
        await hub.join(CHANNEL, back)
        commit(table, hub, 1)
        assert (gone.messages, back.sequences) == ([], [1])
        hub.leave(CHANNEL, back)
        await until(lambda: CHANNEL not in hub._feeds)
        # What was published meanwhile is history to whoever joins now.
        commit(table, hub, 1)
        again = Recorder()
        assert await hub.join(CHANNEL, again) == 2
        commit(table, hub, 1)
        assert again.sequences == [3]


async def test_a_hundred_who_join_at_once_read_the_head_once() -> None:
    table = Table(3)
    reads = 0
    heads = table.heads

    async def counted(channels: list[Channel]) -> dict[Channel, Head]:
        nonlocal reads
        reads += 1
        return await heads(channels)

    table.heads = counted  # type: ignore[assignment,method-assign]
    async with hubs(table) as (hub,):
        crowd = [Recorder() for _ in range(100)]
        assert set(await asyncio.gather(*(hub.join(CHANNEL, one) for one in crowd))) == {3}
        assert reads == 1
        commit(table, hub, 1)
        assert all(one.sequences == [4] for one in crowd)


async def test_a_channel_that_cannot_be_opened_can_be_later() -> None:
    table = Table(3)
    async with hubs(table) as (hub,):
        table.fails = 1
        results = await asyncio.gather(
            *(hub.join(CHANNEL, Recorder()) for _ in range(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [Unavailable] * 3
        recorder = Recorder()
        assert await hub.join(CHANNEL, recorder) == 3
        commit(table, hub, 1)
        assert recorder.sequences == [4]


async def test_one_who_gives_up_joining_does_not_take_it_from_the_others() -> None:
    table = Table(3)
    async with hubs(table) as (hub,):
        quitter = asyncio.create_task(hub.join(CHANNEL, Recorder()))
        other = asyncio.create_task(hub.join(CHANNEL, recorder := Recorder()))
        await asyncio.sleep(0)
        quitter.cancel()
        assert await other == 3
        commit(table, hub, 1)
        assert recorder.sequences == [4]


class SlowTable(Table):
    """A table whose heads are told when it is let go."""

    def __init__(self, head: int = 0) -> None:
        super().__init__(head)
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        self.asked.set()
        await self.let_go.wait()
        return await super().heads(channels)


async def given_up(table: SlowTable, hub: Hub) -> None:
    """Subscribe, and give up while the channel's head is being read."""
    source = MessageSource(hub, FanOut(hub), table, CHANNEL)
    starting = asyncio.create_task(source.start())
    await table.asked.wait()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    source.close()


async def test_who_gives_up_while_a_slow_table_is_read_does_not_silence_the_channel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Leaving began the linger of a feed that was still opening, and closed it half open.

    The next subscriber got a feed that nothing fed any more; its group was stored all the same,
    and everybody who came later joined that group: a channel silent for good in this process.
    """
    monkeypatch.setattr(hub_module, "_LINGER_SECONDS", 0.01)
    table = SlowTable(3)
    async with hubs(table) as (hub,):
        fan_out = FanOut(hub)
        await given_up(table, hub)
        second = asyncio.create_task(subscribed(hub, fan_out, table))
        await asyncio.sleep(0.05)  # the linger of the first one would be over
        table.let_go.set()
        third, fourth = await second, await subscribed(hub, fan_out, table)
        commit(table, hub, 1)
        assert third == fourth == [b"4"]


async def test_a_table_that_fails_after_somebody_gave_up_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The feed had been closed under its own opening: KeyError, an internal error."""
    monkeypatch.setattr(hub_module, "_LINGER_SECONDS", 0.01)
    table = SlowTable(3)
    async with hubs(table) as (hub,):
        await given_up(table, hub)
        second = asyncio.create_task(hub.join(CHANNEL, Recorder()))
        await asyncio.sleep(0.05)
        table.fails = 1
        table.let_go.set()
        with pytest.raises(Unavailable):
            await second
        assert await subscribed(hub, FanOut(hub), table) == []


async def test_what_came_for_a_channel_that_could_not_be_opened_takes_no_room() -> None:
    table = SlowTable(3)
    async with hubs(table) as (hub,):
        joining = asyncio.create_task(hub.join(CHANNEL, Recorder()))
        await table.asked.wait()
        hub.publish_stored([stored(5)])
        assert str(hub.ahead) != "0 with 0 bytes"
        table.fails = 1
        table.let_go.set()
        with pytest.raises(Unavailable):
            await joining
        assert str(hub.ahead) == "0 with 0 bytes"


async def test_a_group_that_cannot_join_its_feed_is_not_found_by_the_next_one() -> None:
    """It was stored before it joined: whoever came later joined a group that nothing fed."""
    table = Table()
    async with hubs(table) as (hub,):
        fan_out = FanOut(hub)
        with pytest.raises(Unavailable):
            fan_out.hold(CHANNEL, "all", EVERY_MESSAGE, encoded)
        heard = await subscribed(hub, fan_out, table)
        commit(table, hub, 1)
        assert heard == [b"1"]


class Payloads:
    """A member that keeps what it is given."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def receive(self, payloads: Sequence[bytes]) -> None:
        self.taken.extend(payloads)

    def fail(self, error: Exception) -> None:
        raise AssertionError("nothing broke") from error

    async def drained(self) -> None:
        return


def encoded(message: Message) -> bytes:
    return b"%d" % (message.sequence or 0)


async def subscribed(hub: Hub, fan_out: FanOut, table: Table) -> list[bytes]:
    """Subscribe as a socket does, by way of a group; return where the payloads will be."""
    source = MessageSource(hub, fan_out, table, CHANNEL)
    await source.start()
    member = Payloads()
    await source.begin("all", encoded, member)
    return member.taken


async def test_a_lost_event_is_found_by_the_slow_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_POLL_SECONDS", 0.05)
    table = Table()
    async with hubs(table) as (hub,):
        recorder = Recorder()
        await hub.join(CHANNEL, recorder)
        table.head = 3  # another process committed them, and its event never came
        await recorder.has(3)
        assert recorder.sequences == [1, 2, 3]
        table.head, table.fails = 5, 1
        await recorder.has(5)
        assert recorder.sequences == [1, 2, 3, 4, 5]


async def test_heads_that_are_older_than_what_was_dispatched_meanwhile_are_no_new_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    table = SlowTable(3)
    table.let_go.set()
    async with hubs(table) as (hub,):
        recorder = Recorder()
        await hub.join(CHANNEL, recorder)
        heads = SlowTable.heads

        async def overtaken(self: SlowTable, channels: Sequence[Channel]) -> dict[Channel, Head]:
            read = await heads(self, channels)
            commit(table, hub, 2)
            monkeypatch.undo()
            return read

        monkeypatch.setattr(SlowTable, "heads", overtaken)
        hub.missed()
        await recorder.has(5)
        assert hub._poll_now.is_set() is False
        assert (recorder.sequences, recorder.restarts) == ([4, 5], [])
        assert "anew" not in caplog.text


async def test_the_poll_finds_a_channel_that_counts_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = Table(5)
    async with hubs(table) as (hub,):
        recorder = Recorder()
        await hub.join(CHANNEL, recorder)
        table.head, table.created_after = 2, 1_000
        hub.missed()
        await recorder.has(2)
        assert recorder.sequences == [1, 2]
        assert "counts its messages anew" in caplog.text


async def test_a_poll_that_fails_in_an_unknown_way_goes_on_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It ended without a line in the log, and lost events were not found any more."""
    monkeypatch.setattr(hub_module, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(supervision, "AGAIN_SECONDS", 0.02)
    table = Table()
    async with hubs(table) as (hub,):
        recorder = Recorder()
        await hub.join(CHANNEL, recorder)
        table.error, table.fails = ZeroDivisionError, 1
        await until(lambda: not table.fails)
        table.head = 3
        await recorder.has(3)
        assert "the head poll failed" in caplog.text


async def test_after_a_cut_the_table_is_read_at_once() -> None:
    table = Table()
    async with hubs(table) as (hub,):
        recorder = Recorder()
        await hub.join(CHANNEL, recorder)
        table.head = 2
        hub.missed()
        async with asyncio.timeout(4):  # the slow poll would take 5 s
            await recorder.has(2)


async def test_deletions_are_told_here_at_once_and_elsewhere_by_the_bus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "_DELETED_SECONDS", 0.01)
    table = Table(5)
    async with hubs(table, 2) as (own, other):
        here, there = Recorder(), Recorder()
        await own.join(CHANNEL, here)
        await other.join(CHANNEL, there)
        for removed in (2, 3):
            table.removed = removed
            await own.publish_deleted(CHANNEL)
            assert here.removals == removed - 1
        await until(lambda: there.removals)
        # Several that come together are looked at once.
        table.removed = 5
        for _ in range(10):
            await own.publish_deleted(CHANNEL)
        assert here.removals == 3
        await until(lambda: not other._deleted and other._deleted_looker is None)
        assert there.removals <= 3
        assert not own._deleted, "its own events do not come back to it"


async def test_deletions_are_noticed_without_the_database() -> None:
    """What was kept is forgotten before the answer; where the channel ends is found later."""
    table = Table(5)
    async with hubs(table, 2) as (own, other):
        here, there = Recorder(), Recorder()
        await own.join(CHANNEL, here)
        await other.join(CHANNEL, there)
        table.removed, table.fails = 1, 2
        await own.publish_deleted(CHANNEL)
        assert here.removals == 1
        await until(lambda: not table.fails)
        other.missed()
        await until(lambda: there.removals == 1)


async def test_deletions_where_nobody_listens_are_forgotten_all_the_same() -> None:
    table = Table(5)
    async with hubs(table, 2) as (own, other):
        await own.publish_deleted(CHANNEL)
        assert table.forgotten == 1
        other.notice(CHANNEL, Head(5, 5, 1))
