"""One subscription: replay and present in one piece, and an end that leaves no hole."""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from app.delivery.delivery_times import DeliveryTimes
from app.delivery.feed import Feed, Subscriber
from app.delivery.groups import FanOut
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.entry import CaughtUp
from app.domain.message import Head, Message
from app.domain.query import EVERY_MESSAGE, CompiledFilters, parse_filters
from app.errors import DeliveryFailed, SubscriberTooSlow, Unavailable
from app.services.live import pace, patience
from app.services.live.messages import MessageSource
from tests.delivery.recorded import CHANNEL, Table, stored, transient, until
from tests.services.live.members import Recorded

pytestmark = pytest.mark.anyio


class OneFeed:
    """A hub of one channel, its events given by hand."""

    def __init__(self, head: int, size: int = 2) -> None:
        self.table = Table(head, size)
        self.feed = Feed(CHANNEL, self.table)
        self.feed.open_at(Head(head, head))
        self.times = DeliveryTimes()
        self.fan_out = FanOut(cast("Hub", self))
        self.encodings = 0

    async def join(self, _channel: Channel, subscriber: Subscriber) -> int:
        self.join_open(_channel, subscriber)
        assert self.feed.position is not None
        return self.feed.position

    def join_open(self, _channel: Channel, subscriber: Subscriber) -> None:
        self.feed.subscribers[subscriber] = None

    def leave(self, _channel: Channel, subscriber: Subscriber) -> None:
        self.feed.subscribers.pop(subscriber, None)

    def reach(self, _channel: Channel, sequence: int) -> None:
        self.feed.reach(sequence)

    def publish(self, number: int = 1) -> None:
        """Commit the next messages and dispatch them in one piece."""
        first = self.table.head + 1
        self.table.head += number
        size = self.table.size
        self.feed.stored([stored(n, size) for n in range(first, first + number)])

    def begin_anew(self, head: int) -> None:
        """Count the channel's messages anew, as if its rows had been deleted by hand."""
        self.table.head, self.table.created_after = head, 2_000
        self.feed.stored([stored(n, created_after=2_000) for n in range(1, head + 1)])

    def respond(self, message: Message) -> bytes:
        """Return the message's place, in as many bytes as its data has."""
        self.encodings += 1
        place = "transient" if message.sequence is None else str(message.sequence)
        return place.encode().ljust(len(message.data_json))

    async def source(
        self,
        after: int | None = None,
        filters: CompiledFilters = EVERY_MESSAGE,
        on_closed: Callable[[], None] = lambda: None,
    ) -> MessageSource:
        hub = cast("Hub", self)
        source = MessageSource(hub, self.fan_out, self.table, CHANNEL, filters, on_closed)
        await source.start()
        if after is not None:
            source.replay_after(after)
        return source


class Reader(Recorded):
    """A member that can tell the places of the messages it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.unread = 0
        self.most_unread = 0

    def receive(self, payloads: Sequence[bytes]) -> None:
        super().receive(payloads)
        self.unread += sum(map(len, payloads))
        self.most_unread = max(self.most_unread, self.unread)

    async def drained(self) -> None:
        await self.may_read.wait()
        self.unread = 0

    @property
    def places(self) -> list[int | None]:
        return [
            None if payload.startswith(b"t") else int(payload.strip()) for payload in self.payloads
        ]


async def begun(
    hub: OneFeed, after: int | None = None, filters: CompiledFilters = EVERY_MESSAGE
) -> Reader:
    """Return a member that has had what comes first."""
    reader = Reader()
    source = await hub.source(after, filters)
    async with asyncio.timeout(60):
        await source.begin("key", hub.respond, reader)
    return reader


async def test_without_a_starting_point_it_begins_now() -> None:
    hub = OneFeed(10)
    reader = await begun(hub)
    hub.publish(2)
    assert reader.places == [11, 12]
    assert hub.table.reads == []


async def test_what_is_published_between_the_join_and_the_beginning_is_not_missed() -> None:
    hub = OneFeed(10)
    source, reader = await hub.source(), Reader()
    hub.publish(300)
    await source.begin("key", hub.respond, reader)
    hub.publish()
    assert reader.places == list(range(11, 312))


@pytest.mark.parametrize("published_each_read", [0, 1, 100, 400])
async def test_a_replay_while_others_publish_has_no_gap_and_no_repeat(
    published_each_read: int,
) -> None:
    hub = OneFeed(1_500)
    pages = iter(range(8))

    def publish_meanwhile() -> None:
        if next(pages, None) is not None and published_each_read:
            hub.publish(published_each_read)

    hub.table.on_read = publish_meanwhile
    reader = await begun(hub, after=100)
    hub.publish(5)
    assert reader.places == list(range(101, hub.table.head + 1))


async def test_of_a_replay_only_the_group_stays() -> None:
    hub = OneFeed(10)
    tasks = asyncio.all_tasks()
    await begun(hub, after=0)
    await begun(hub, after=0)
    assert asyncio.all_tasks() == tasks
    assert len(hub.feed.subscribers) == 1


@pytest.mark.parametrize("events_come", [True, False])
async def test_a_starting_point_that_the_feed_has_not_reached_is_not_given_away(
    events_come: bool,
) -> None:
    """The cursor of a message that another process has just acknowledged.

    The group took over at once, while this process's feed was behind the cursor: a group has no
    starting point, and gave its new member the message again.
    """
    hub = OneFeed(10)
    hub.table.head = 12  # committed elsewhere, the events are on their way
    beginning = asyncio.create_task(begun(hub, after=12))
    await asyncio.sleep(0)
    if events_come:
        hub.feed.stored([stored(11), stored(12)])
    # Lost events cost no more than the reading of the hole: nobody waits for the poll.
    await until(lambda: hub.feed.position == 12, 2)
    reader = await beginning
    hub.publish()
    assert reader.places == [13]


async def test_large_messages_are_given_in_slices_at_the_pace_of_the_reader() -> None:
    hub = OneFeed(300, size=30_000)
    reader = await begun(hub, after=0)
    assert reader.places == list(range(1, 301))
    assert reader.most_unread < 64 * 1024 + 30_000


async def test_a_reader_that_is_slow_holds_up_its_replay_only() -> None:
    hub = OneFeed(10, size=30_000)
    live, slow = await begun(hub), Reader()
    slow.may_read.clear()
    source = await hub.source(after=0)
    beginning = asyncio.create_task(source.begin("key", hub.respond, slow))
    await until(lambda: slow.unread)
    hub.publish(5)
    assert live.places == list(range(11, 16))
    assert len(slow.places) < 10
    slow.may_read.set()
    await beginning
    hub.publish()
    assert slow.places == list(range(1, 17))


async def test_a_reader_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_STALL_SECONDS", 0.01)
    hub = OneFeed(10, size=30_000)
    source, stuck = await hub.source(after=0), Reader()
    stuck.may_read.clear()
    with pytest.raises(SubscriberTooSlow, match="nothing was read"):
        await source.begin("key", hub.respond, stuck)
    source.close()
    assert not hub.feed.subscribers


async def test_what_is_kept_during_a_replay_is_bounded_in_bytes() -> None:
    """256 messages were kept, of up to 64 KiB each: 16 MB a subscription that replays."""
    hub = OneFeed(1, size=60_000)
    source, reader = await hub.source(after=0), Reader()
    hub.publish(100)
    assert source._recent._bytes <= 64 * 1024
    await source.begin("key", hub.respond, reader)
    assert reader.places == list(range(1, 102))


async def test_the_last_few_live_messages_need_no_reading() -> None:
    hub = OneFeed(10)
    source, reader = await hub.source(), Reader()
    hub.publish(5)
    await source.begin("key", hub.respond, reader)
    assert reader.places == [11, 12, 13, 14, 15]
    assert hub.table.reads == []


async def test_a_message_that_is_not_stored_comes_during_a_replay_too() -> None:
    hub = OneFeed(3)
    source, reader = await hub.source(after=0), Reader()
    hub.feed.transient(transient())
    await source.begin("key", hub.respond, reader)
    hub.feed.transient(transient())
    assert reader.places == [1, 2, 3, None, None]


async def test_too_many_that_are_not_stored_end_a_replay() -> None:
    """Nobody can read them later: what waits for the replay's end has a bound."""
    hub = OneFeed(3)
    source, reader = await hub.source(after=0), Reader()
    for _ in range(20):
        hub.feed.transient(transient(60_000))
    with pytest.raises(SubscriberTooSlow, match="bytes are waiting, at most 1048576 may"):
        await source.begin("key", hub.respond, reader)
    source.close()
    assert not hub.feed.subscribers


async def test_a_source_that_cannot_take_a_message_ends_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = OneFeed(10)
    hub.table.head = 12
    source, reader = await hub.source(after=12), Reader()
    beginning = asyncio.create_task(source.begin("key", hub.respond, reader))
    await asyncio.sleep(0)

    def fails(_message: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(source._recent, "add", fails)
    hub.feed.stored([stored(11)])
    with pytest.raises(DeliveryFailed, match="resume after the last message received"):
        await beginning
    source.close()
    assert not hub.feed.subscribers


async def test_groups_that_are_dropped_during_a_replay_do_not_take_over() -> None:
    """Nothing feeds them any more: the member would have heard nothing for good."""
    hub = OneFeed(10)

    def drop() -> None:
        for subscriber in tuple(hub.feed.subscribers):
            if subscriber is not source:
                hub.feed._drop(subscriber)

    source, reader = await hub.source(after=0), Reader()
    hub.table.on_read = drop
    with pytest.raises(DeliveryFailed):
        await source.begin("key", hub.respond, reader)
    source.close()
    assert not hub.feed.subscribers
    hub.table.on_read = lambda: None
    again = await begun(hub, after=10)
    hub.publish()
    assert again.places == [11]


async def test_a_member_that_is_live_follows_its_channel_into_a_new_count() -> None:
    """The new count's messages were below what it had seen."""
    hub = OneFeed(1_000)
    reader = await begun(hub)
    hub.begin_anew(12)
    await until(lambda: hub.feed.position == 12)
    assert reader.places == list(range(1, 13))
    hub.table.head = 13
    hub.feed.stored([stored(13, created_after=2_000)])
    await until(lambda: len(reader.payloads) == 13)
    assert reader.places == list(range(1, 14))


async def test_a_replay_follows_its_channel_into_a_new_count() -> None:
    hub = OneFeed(1_000, size=30_000)
    source, reader = await hub.source(after=990), Reader()
    reader.may_read.clear()
    beginning = asyncio.create_task(source.begin("key", hub.respond, reader))
    await until(lambda: reader.unread)
    hub.begin_anew(12)
    await until(lambda: hub.feed.position == 12)
    reader.may_read.set()
    await beginning
    # What was on its way already comes first.
    assert reader.places == [*range(991, 1_001), *range(1, 13)]


async def test_a_page_that_is_read_while_its_channel_begins_anew_is_not_taken() -> None:
    hub = OneFeed(1_000)

    def begin_anew() -> None:
        hub.table.on_read = lambda: None
        hub.begin_anew(2)
        for subscriber in tuple(hub.feed.subscribers):
            subscriber.restarted(0)

    hub.table.on_read = begin_anew
    reader = await begun(hub, after=100)
    await until(lambda: len(reader.payloads) == 2)
    assert reader.places == [1, 2]


async def test_a_database_that_is_away_shortly_delays_a_replay_only() -> None:
    hub = OneFeed(10)
    hub.table.fails = 3
    assert (await begun(hub, after=5)).places == [6, 7, 8, 9, 10]


async def test_a_database_that_stays_away_ends_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PATIENCE_SECONDS", 0.1)
    hub = OneFeed(10)
    hub.table.fails = 1_000
    source = await hub.source(after=5)
    with pytest.raises(Unavailable):
        await source.begin("key", hub.respond, Reader())
    source.close()
    assert not hub.feed.subscribers


@pytest.mark.parametrize("deleted", [False, True])
async def test_where_it_has_caught_up_is_a_cursor_that_is_there(deleted: bool) -> None:
    hub = OneFeed(10)
    source = MessageSource(
        cast("Hub", hub), hub.fan_out, hub.table, CHANNEL, events=True, event_of=lambda event: event
    )
    await source.start()
    source.replay_after(8)

    def respond(event: Message | CaughtUp) -> bytes:
        if isinstance(event, Message):
            return b"message"
        return str(event.cursor).encode()

    class Deleting(Recorded):
        def receive(self, payloads: Sequence[bytes]) -> None:
            super().receive(payloads)
            if deleted:
                source.removed()
                hub.table.fails = 2  # the database may be away for a moment here too

    reader = Deleting()
    leave = await source.begin("key", respond, reader)
    assert reader.payloads == [b"message"] * 2 + [b"newest up to 10" if deleted else b"id 10"]
    leave()


async def test_a_message_that_cannot_be_made_ends_a_replay() -> None:
    hub = OneFeed(10)

    def broken(_message: Message) -> bytes:
        raise ZeroDivisionError

    source = await hub.source(after=5)
    with pytest.raises(ZeroDivisionError):
        await source.begin("key", broken, Reader())
    source.close()
    assert not hub.feed.subscribers


@pytest.mark.parametrize("begins", [True, False])
async def test_it_tells_once_that_it_is_closed(begins: bool) -> None:
    hub, told = OneFeed(0), list[int]()
    source = await hub.source(on_closed=lambda: told.append(1))
    if begins:
        leave = await source.begin("key", hub.respond, Reader())
        source.close()
        assert told == []
        leave()
        leave()
    source.close()
    source.close()
    assert told == [1]
    assert not hub.feed.subscribers


async def test_whoever_gives_up_while_joining_leaves_nothing_behind() -> None:
    hub, told = OneFeed(10, size=60_000), list[int]()
    reader = Reader()
    reader.may_read.clear()
    source = await hub.source(after=0, on_closed=lambda: told.append(1))
    beginning = asyncio.create_task(source.begin("key", hub.respond, reader))
    await until(lambda: reader.unread)
    beginning.cancel()
    await asyncio.wait({beginning})
    source.close()
    assert told == [1]
    assert not hub.feed.subscribers
    assert not hub.fan_out._channels


async def test_filters_that_take_long_choose_the_same_messages() -> None:
    """The replay and what follows it are one."""
    hub = OneFeed(600)
    wire = {"field": "id", "operator": "CONTAINS", "value": "5"}
    filters = CompiledFilters(parse_filters([wire]))
    assert not filters.light
    reader = await begun(hub, after=0, filters=filters)
    hub.publish(100)
    expected = [n for n in range(1, 701) if filters.accept(stored(n))]
    assert 100 < len(expected) < 700
    await until(lambda: len(reader.payloads) == len(expected))
    assert reader.places == expected


async def test_a_page_of_which_the_filters_take_nothing_is_passed_over() -> None:
    hub = OneFeed(1_100)
    wire = {"field": "id", "operator": "EQ", "value": "id 1100"}
    reader = await begun(hub, after=0, filters=CompiledFilters(parse_filters([wire])))
    assert reader.places == [1_100]


async def test_a_thousand_who_resume_from_one_place_cost_one_encoding_of_each_page() -> None:
    """Each replay encoded for itself: a restart cost a thousand times the work."""
    hub = OneFeed(1_200)
    readers = await asyncio.gather(*(begun(hub, after=0) for _ in range(1_000)))
    assert hub.encodings == 1_200
    assert all(reader.places == readers[0].places for reader in readers)
    assert readers[0].places == list(range(1, 1_201))


async def test_what_was_deleted_during_a_replay_is_read_again() -> None:
    """The last live messages are kept meanwhile, and some of them may be gone."""
    hub = OneFeed(3)
    source = await hub.source(after=3)
    hub.publish(2)
    assert [one.sequence for one in source._recent.after(3)] == [4, 5]
    source.removed()
    assert source._recent.after(3) == ()
    source.close()
