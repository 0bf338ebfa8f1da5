"""One subscription: replay and present in one piece, and an end that leaves no hole."""

import asyncio
from typing import cast

import pytest

from app.delivery.fanout import FanOut
from app.delivery.feed import Feed, Subscriber
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.errors import DeliveryFailed, SubscriberTooSlow, Unavailable
from app.services import message_stream
from app.services.message_stream import MessageStream
from tests.delivery.recorded import CHANNEL, Table, stored, transient, until

pytestmark = pytest.mark.anyio


class OneFeed:
    """A hub of one channel, its events given by hand."""

    def __init__(self, head: int, size: int = 2) -> None:
        self.table = Table(head, size)
        self.feed = Feed(CHANNEL, self.table)
        self.feed.open_at(head)

    async def join(self, _channel: Channel, subscriber: Subscriber) -> int:
        self.feed.subscribers[subscriber] = None
        assert self.feed.position is not None
        return self.feed.position

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

    async def stream(self, after: int | None = None) -> MessageStream:
        hub = cast("Hub", self)
        stream = MessageStream(hub, FanOut(hub), self.table, CHANNEL)
        await stream.start()
        stream.replay_after(after)
        return stream


async def taken(stream: MessageStream, number: int) -> list[int | None]:
    async with asyncio.timeout(20):
        return [(await anext(stream)).sequence for _ in range(number)]


async def test_without_a_starting_point_it_begins_now() -> None:
    hub = OneFeed(10)
    stream = await hub.stream()
    hub.publish(2)
    assert await taken(stream, 2) == [11, 12]
    assert hub.table.reads == []
    await stream.aclose()


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
    stream = await hub.stream(after=100)
    seen = await taken(stream, 1_400)
    while not stream.settled:
        seen += await taken(stream, 1)
    hub.publish(5)
    seen += await taken(stream, 5)
    assert seen == list(range(101, hub.table.head + 1))
    await stream.aclose()


@pytest.mark.parametrize("events_come", [True, False])
async def test_a_starting_point_that_the_feed_has_not_reached_is_not_given_away(
    events_come: bool,
) -> None:
    """The cursor of a message that another process has just acknowledged.

    The stream was settled at once, while this process's feed was behind the cursor: the group
    that took over has no starting point, and gave its new member the message again.
    """
    hub = OneFeed(10)
    hub.table.head = 12  # committed elsewhere, the events are on their way
    stream = await hub.stream(after=12)
    settled_at_once = stream.settled
    assert not settled_at_once
    waiting = asyncio.create_task(taken(stream, 1))
    await asyncio.sleep(0)
    if events_come:
        hub.feed.stored([stored(11), stored(12)])
    # Lost events cost no more than the reading of the hole: nobody waits for the poll.
    await until(lambda: hub.feed.position == 12, 2)
    assert stream.settled
    hub.publish()
    assert await waiting == [13]
    await stream.aclose()


async def test_large_messages_are_replayed_in_bounded_pieces() -> None:
    hub = OneFeed(300, size=60_000)
    stream = await hub.stream(after=0)
    seen = []
    for _ in range(300):
        seen += await taken(stream, 1)
        assert stream._pending_bytes < 4 * 1024 * 1024
    assert seen == list(range(1, 301))
    await stream.aclose()


async def test_a_message_that_is_not_stored_comes_during_a_replay_too() -> None:
    hub = OneFeed(3)
    stream = await hub.stream(after=0)
    hub.feed.transient(transient())
    assert set(await taken(stream, 4)) == {None, 1, 2, 3}
    await stream.aclose()


@pytest.mark.parametrize(("number", "size"), [(20_000, 2), (100, 60_000)])
async def test_a_reader_that_fell_behind_is_let_go_before_the_first_hole(
    number: int, size: int
) -> None:
    """What overflowed in the middle of one dispatch once left its tail to be read."""
    hub = OneFeed(0, size)
    stream = await hub.stream()
    hub.publish(number)
    with pytest.raises(SubscriberTooSlow, match="are waiting, at most"):
        await anext(stream)
    assert not hub.feed.subscribers
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_stream_that_cannot_take_a_message_ends_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = OneFeed(0)
    stream = await hub.stream()
    waiting = asyncio.create_task(taken(stream, 1))
    await asyncio.sleep(0)

    def fails(_message: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stream, "_queue", fails)
    hub.publish()
    with pytest.raises(DeliveryFailed, match="resume after the last message received"):
        await waiting
    assert not hub.feed.subscribers


async def test_a_database_that_is_away_shortly_delays_a_replay_only() -> None:
    hub = OneFeed(10)
    hub.table.fails = 3
    stream = await hub.stream(after=5)
    assert await taken(stream, 5) == [6, 7, 8, 9, 10]
    await stream.aclose()


async def test_a_database_that_stays_away_ends_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_stream, "_PATIENCE_SECONDS", 0.1)
    hub = OneFeed(10)
    hub.table.fails = 1_000
    stream = await hub.stream(after=5)
    with pytest.raises(Unavailable):
        await anext(stream)
    assert not hub.feed.subscribers


async def test_closing_ends_a_wait_and_tells_once() -> None:
    hub = OneFeed(0)
    told = []
    stream = MessageStream(
        cast("Hub", hub), FanOut(cast("Hub", hub)), hub.table, CHANNEL, (), lambda: told.append(1)
    )
    await stream.start()
    stream.replay_after(None)
    waiting = asyncio.create_task(taken(stream, 1))
    await asyncio.sleep(0)
    await stream.aclose()
    await stream.aclose()
    with pytest.raises((StopAsyncIteration, RuntimeError)):
        await waiting
    assert told == [1]
    assert not hub.feed.subscribers
