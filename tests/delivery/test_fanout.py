"""Fan-out: filtered and encoded once for all who are alike, and nobody else's business."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.fanout import FanOut
from app.delivery.feed import Subscriber
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.json_value import encode_json
from app.domain.message import Message
from app.domain.query import EVERY_MESSAGE, CompiledFilters, matches, parse_filters
from app.errors import SubscriberTooSlow

CHANNEL = Channel("project", "widget")


class OpenFeed:
    """A hub with one open feed, driven by hand."""

    def __init__(self) -> None:
        self.subscribers: list[Subscriber] = []

    def join_open(self, _channel: Channel, subscriber: Subscriber) -> None:
        self.subscribers.append(subscriber)

    def leave(self, _channel: Channel, subscriber: Subscriber) -> None:
        self.subscribers.remove(subscriber)

    def publish(self, *data: Any) -> list[Message]:
        messages = [
            Message(CHANNEL, n, f"id {n}", "client", n, None, encode_json(one))
            for n, one in enumerate(data, start=1)
        ]
        for subscriber in tuple(self.subscribers):
            subscriber.deliver(messages)
        return messages


class Inbox:
    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.errors: list[SubscriberTooSlow] = []
        self.on_receive: Callable[[], None] = lambda: None

    def receive(self, payloads: Sequence[bytes]) -> None:
        self.payloads.extend(payloads)
        self.on_receive()

    def fail(self, error: SubscriberTooSlow) -> None:
        self.errors.append(error)


class Encoder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, message: Message) -> bytes:
        self.calls += 1
        return message.data_json


def fan_out() -> tuple[FanOut, OpenFeed]:
    feed = OpenFeed()
    return FanOut(cast("Hub", feed)), feed


def equal(field: str, value: Any, operator: str = "EQ") -> CompiledFilters:
    filters = parse_filters([{"field": field, "operator": operator, "value": value}])
    return CompiledFilters(filters)


def test_a_message_is_encoded_once_for_all_members_of_a_group() -> None:
    fan, feed = fan_out()
    encode = Encoder()
    inboxes = [Inbox() for _ in range(100)]
    for inbox in inboxes:
        fan.join(CHANNEL, "all", EVERY_MESSAGE, encode, inbox)

    feed.publish(1, 2)

    assert encode.calls == 2
    assert len(feed.subscribers) == 1
    assert all(inbox.payloads == [b"1", b"2"] for inbox in inboxes)


def test_whoever_left_gets_nothing_and_the_last_one_closes_the_door() -> None:
    fan, feed = fan_out()
    first, second = Inbox(), Inbox()
    leave_first = fan.join(CHANNEL, "all", EVERY_MESSAGE, Encoder(), first)
    leave_second = fan.join(CHANNEL, "all", EVERY_MESSAGE, Encoder(), second)

    leave_first()
    leave_first()
    feed.publish("x")
    assert (first.payloads, second.payloads) == ([], [b'"x"'])

    leave_second()
    assert feed.subscribers == []


def test_a_member_may_leave_while_it_is_given_something() -> None:
    fan, feed = fan_out()
    slow, other = Inbox(), Inbox()
    slow.on_receive = fan.join(CHANNEL, "all", EVERY_MESSAGE, Encoder(), slow)
    fan.join(CHANNEL, "all", EVERY_MESSAGE, Encoder(), other)

    feed.publish(1)
    feed.publish(2)

    assert slow.payloads == [b"1"]
    assert other.payloads == [b"1", b"2"]


def test_a_group_that_cannot_encode_a_message_does_not_stop_the_others() -> None:
    fan, feed = fan_out()
    inbox, unlucky = Inbox(), [Inbox(), Inbox()]

    def broken(message: Message) -> bytes:
        if message.sequence == 2:
            raise ZeroDivisionError
        return message.data_json

    leave = [fan.join(CHANNEL, "broken", EVERY_MESSAGE, broken, one) for one in unlucky]
    fan.join(CHANNEL, "whole", EVERY_MESSAGE, Encoder(), inbox)

    feed.publish(1)
    feed.publish(1, 2, 3)
    feed.publish(4)

    assert inbox.payloads == [b"1", b"1", b"2", b"3", b"4"]
    # Their clients are to come back: going on would leave a hole that nobody sees.
    assert [(one.payloads, len(one.errors)) for one in unlucky] == [([b"1"], 1)] * 2
    for each in leave:
        each()
    assert len(feed.subscribers) == 1


def test_a_member_that_fails_is_dropped_and_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its exception cost those behind it the message, and the publisher the acknowledgement."""
    fan, feed = fan_out()
    inboxes = [Inbox() for _ in range(5)]
    leave = [fan.join(CHANNEL, "all", EVERY_MESSAGE, Encoder(), one) for one in inboxes]

    def fails() -> None:
        raise ZeroDivisionError

    inboxes[1].on_receive = inboxes[3].on_receive = fails
    feed.publish(1)
    feed.publish(2)

    assert [one.payloads for one in inboxes] == [[b"1", b"2"], [b"1"]] * 2 + [[b"1", b"2"]]
    assert [len(one.errors) for one in inboxes] == [0, 1, 0, 1, 0]
    assert caplog.text.count("2 members of a group failed") == 1
    for each in leave:
        each()
    assert feed.subscribers == []


def test_a_channel_that_is_dropped_drops_its_members_and_can_be_joined_again() -> None:
    fan, feed = fan_out()
    first, second, later = Inbox(), Inbox(), Inbox()
    fan.join(CHANNEL, 1, EVERY_MESSAGE, Encoder(), first)
    fan.join(CHANNEL, 2, EVERY_MESSAGE, Encoder(), second)
    (groups,) = feed.subscribers
    groups.dropped()
    assert (len(first.errors), len(second.errors)) == (1, 1)
    assert feed.subscribers == []
    fan.join(CHANNEL, 1, EVERY_MESSAGE, Encoder(), later)
    feed.publish(1)
    assert (first.payloads, later.payloads) == ([], [b"1"])


def test_ten_thousand_filters_on_one_field_cost_a_look_up() -> None:
    fan, feed = fan_out()
    encoders = [Encoder() for _ in range(10_000)]
    for n, encode in enumerate(encoders):
        fan.join(CHANNEL, n, equal("data.to", n), encode, Inbox())

    feed.publish({"to": 77}, {"to": True}, {"other": 1}, {"to": 1.0})

    asked = [n for n, encode in enumerate(encoders) if encode.calls]
    assert asked == [1, 77]


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["", "1", "ann", "é"])
)


@given(
    st.lists(st.tuples(st.sampled_from(["data.to", "data", "client_id"]), scalars), max_size=6),
    st.lists(st.one_of(scalars, st.fixed_dictionaries({}, optional={"to": scalars})), max_size=6),
)
def test_finding_groups_by_value_changes_nothing(
    wanted: list[tuple[str, Any]], data: list[Any]
) -> None:
    fan, feed = fan_out()
    inboxes = []
    for n, (field, value) in enumerate(wanted):
        filters = equal(field, value)
        inbox = Inbox()
        fan.join(CHANNEL, n, filters, Encoder(), inbox)
        inboxes.append((filters, inbox))

    messages = feed.publish(*data)

    for filters, inbox in inboxes:
        assert inbox.payloads == [
            one.data_json for one in messages if all(matches(one, each) for each in filters.filters)
        ]


def slow(value: str) -> CompiledFilters:
    filters = equal("data.text", value, "CONTAINS")
    assert not filters.light
    return filters


@pytest.mark.anyio
async def test_filters_that_take_long_choose_the_same_messages_in_order() -> None:
    fan, feed = fan_out()
    first, alike, other = Inbox(), Inbox(), Inbox()
    filters = slow("a")
    fan.join(CHANNEL, 1, filters, Encoder(), first)
    fan.join(CHANNEL, 2, filters, Encoder(), alike)
    fan.join(CHANNEL, 3, slow("b"), Encoder(), other)

    feed.publish({"text": "a"}, {"text": "b"}, {"text": "ab"})
    feed.publish({"text": "aa"}, {"other": 1})
    await until(lambda: len(first.payloads) == 3 and len(other.payloads) == 2)

    assert first.payloads == alike.payloads == [b'{"text":%b}' % one for one in TEXTS]
    assert other.payloads == [b'{"text":"b"}', b'{"text":"ab"}']


TEXTS = (b'"a"', b'"ab"', b'"aa"')


@pytest.mark.anyio
async def test_who_joins_while_messages_wait_is_given_only_later_ones() -> None:
    """What it asked for from before it has had already: it would come twice."""
    fan, feed = fan_out()
    early, late = Inbox(), Inbox()
    filters = slow("a")
    fan.join(CHANNEL, 1, filters, Encoder(), early)
    feed.publish({"text": "a1"})
    fan.join(CHANNEL, 1, filters, Encoder(), late)
    feed.publish({"text": "a2"})
    await until(lambda: len(early.payloads) == 2)
    assert late.payloads == [b'{"text":"a2"}']


@pytest.mark.anyio
async def test_filters_that_cannot_keep_up_are_let_go_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.delivery.fanout._WAITING_MAX", 10)
    fan, feed = fan_out()
    behind, quick = Inbox(), Inbox()
    fan.join(CHANNEL, 1, slow("a"), Encoder(), behind)
    fan.join(CHANNEL, 2, EVERY_MESSAGE, Encoder(), quick)
    feed.publish(*range(11))
    assert len(quick.payloads) == 11
    assert [one.message for one in behind.errors] == [
        "reading too slowly: 11 messages wait for filters that take long, at most 10 may; "
        "resume after the last message received"
    ]
    assert quick.errors == []


@pytest.mark.anyio
async def test_a_hundred_of_the_costliest_filters_hold_the_loop_for_a_moment_only() -> None:
    """Each reads the largest text from end to end twenty times: together for a second."""
    fan, feed = fan_out()
    inboxes = []
    for n in range(100):
        needles = ["a" * 90 + "b" + "a" * k + str(n) + "a" for k in range(20)]
        wire = [{"field": "data", "operator": "CONTAINS", "value": one} for one in needles]
        filters = CompiledFilters(parse_filters([{"not": {"or": wire}}]))
        inboxes.append(Inbox())
        fan.join(CHANNEL, n, filters, Encoder(), inboxes[-1])
    loop = asyncio.get_running_loop()
    longest, last = 0.0, loop.time()
    feed.publish("a" * 29_900)
    longest = max(longest, loop.time() - last)
    while not all(inbox.payloads for inbox in inboxes):
        last = loop.time()
        await asyncio.sleep(0)
        longest = max(longest, loop.time() - last)
    assert longest < 0.05


@pytest.mark.anyio
async def test_groups_with_the_very_same_filters_ask_them_once() -> None:
    """Ten thousand selections of one filter are ten thousand groups; the filter is one."""
    fan, feed = fan_out()
    wire = {"or": [{"field": "data", "operator": "GT", "value": n} for n in range(10)]}
    filters = CompiledFilters(parse_filters([wire]))
    asked = []

    class Counted:
        light, equality = True, None

        def accept(self, message: Message) -> bool:
            asked.append(message)
            return filters.accept(message)

    counted = cast("CompiledFilters", Counted())
    inboxes = [Inbox() for _ in range(100)]
    for n, inbox in enumerate(inboxes):
        fan.join(CHANNEL, n, counted, Encoder(), inbox)
    feed.publish(5)
    assert len(asked) == 1
    assert all(inbox.payloads == [b"5"] for inbox in inboxes)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0)
