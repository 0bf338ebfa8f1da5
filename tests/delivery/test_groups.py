"""Fan-out: filtered and encoded once for all who are alike, and nobody else's business."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from time import process_time
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery import groups
from app.delivery.delivery_times import DeliveryTimes
from app.delivery.feed import Subscriber
from app.delivery.groups import Encode, FanOut, Group
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.entry import PolicyChange, Retraction
from app.domain.json_value import encode_json
from app.domain.message import Message
from app.domain.query import EVERY_MESSAGE, CompiledFilters, matches, parse_filters
from app.errors import DeliveryFailed, WidgetwireError
from tests.turns import Turns

CHANNEL = Channel("project", "widget")


class OpenFeed:
    """A hub with one open feed, driven by hand."""

    def __init__(self) -> None:
        self.times = DeliveryTimes()
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
        self.errors: list[WidgetwireError] = []
        self.on_receive: Callable[[], None] = lambda: None

    def receive(self, payloads: Sequence[bytes]) -> None:
        self.payloads.extend(payloads)
        self.on_receive()

    def fail(self, error: WidgetwireError) -> None:
        self.errors.append(error)

    async def drained(self) -> None:
        return


class Encoder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, message: Message) -> bytes:
        self.calls += 1
        return message.data_json


def fan_out() -> tuple[FanOut, OpenFeed]:
    feed = OpenFeed()
    return FanOut(cast("Hub", feed)), feed


def joined(
    fan: FanOut, key: Hashable, filters: CompiledFilters, encode: Encode, inbox: Inbox
) -> Callable[[], None]:
    """Make a member of a group without a replay before; return what ends that."""
    group = fan.hold(CHANNEL, key, filters, encode)
    leave = group.add(inbox)
    group.release()
    return leave


def equal(field: str, value: Any, operator: str = "EQ") -> CompiledFilters:
    filters = parse_filters([{"field": field, "operator": operator, "value": value}])
    return CompiledFilters(filters)


def test_a_message_is_encoded_once_for_all_members_of_a_group() -> None:
    fan, feed = fan_out()
    encode = Encoder()
    inboxes = [Inbox() for _ in range(100)]
    for inbox in inboxes:
        joined(fan, "all", EVERY_MESSAGE, encode, inbox)

    feed.publish(1, 2)

    assert encode.calls == 2
    assert len(feed.subscribers) == 1
    assert all(inbox.payloads == [b"1", b"2"] for inbox in inboxes)


def test_whoever_left_gets_nothing_and_the_last_one_closes_the_door() -> None:
    fan, feed = fan_out()
    first, second = Inbox(), Inbox()
    leave_first = joined(fan, "all", EVERY_MESSAGE, Encoder(), first)
    leave_second = joined(fan, "all", EVERY_MESSAGE, Encoder(), second)

    leave_first()
    leave_first()
    feed.publish("x")
    assert (first.payloads, second.payloads) == ([], [b'"x"'])

    leave_second()
    assert feed.subscribers == []


def test_a_member_may_leave_while_it_is_given_something() -> None:
    fan, feed = fan_out()
    slow, other = Inbox(), Inbox()
    slow.on_receive = joined(fan, "all", EVERY_MESSAGE, Encoder(), slow)
    joined(fan, "all", EVERY_MESSAGE, Encoder(), other)

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

    leave = [joined(fan, "broken", EVERY_MESSAGE, broken, one) for one in unlucky]
    joined(fan, "whole", EVERY_MESSAGE, Encoder(), inbox)

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
    leave = [joined(fan, "all", EVERY_MESSAGE, Encoder(), one) for one in inboxes]

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
    joined(fan, 1, EVERY_MESSAGE, Encoder(), first)
    joined(fan, 2, EVERY_MESSAGE, Encoder(), second)
    (groups,) = feed.subscribers
    groups.dropped()
    assert (len(first.errors), len(second.errors)) == (1, 1)
    assert feed.subscribers == []
    joined(fan, 1, EVERY_MESSAGE, Encoder(), later)
    feed.publish(1)
    assert (first.payloads, later.payloads) == ([], [b"1"])


def test_ten_thousand_filters_on_one_field_cost_a_look_up() -> None:
    fan, feed = fan_out()
    encoders = [Encoder() for _ in range(10_000)]
    for n, encode in enumerate(encoders):
        joined(fan, n, equal("data.to", n), encode, Inbox())

    feed.publish({"to": 77}, {"to": True}, {"other": 1}, {"to": 1.0})

    asked = [n for n, encode in enumerate(encoders) if encode.calls]
    assert asked == [1, 77]


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["", "1", "ann", "é"])
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["data.to", "data"]), scalars)
        | st.tuples(st.just("client_id"), st.sampled_from(["", "1", "ann", "é"])),
        max_size=6,
    ),
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
        joined(fan, n, filters, Encoder(), inbox)
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
    joined(fan, 1, filters, Encoder(), first)
    joined(fan, 2, filters, Encoder(), alike)
    joined(fan, 3, slow("b"), Encoder(), other)

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
    joined(fan, 1, filters, Encoder(), early)
    feed.publish({"text": "a1"})
    joined(fan, 1, filters, Encoder(), late)
    feed.publish({"text": "a2"})
    await until(lambda: len(early.payloads) == 2)
    assert late.payloads == [b'{"text":"a2"}']


@pytest.mark.anyio
async def test_filters_that_cannot_keep_up_are_let_go_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.delivery.groups._WAITING_MAX", 10)
    fan, feed = fan_out()
    behind, quick = Inbox(), Inbox()
    joined(fan, 1, slow("a"), Encoder(), behind)
    joined(fan, 2, EVERY_MESSAGE, Encoder(), quick)
    feed.publish(*range(11))
    assert len(quick.payloads) == 11
    assert [one.message for one in behind.errors] == [
        "reading too slowly: 11 entries wait for filters that take long, at most 10 may; "
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
        joined(fan, n, filters, Encoder(), inboxes[-1])
    with Turns() as turns:
        asyncio.get_running_loop().call_soon(feed.publish, "a" * 29_900)
        while not all(inbox.payloads for inbox in inboxes):  # noqa: ASYNC110  turns are counted
            await asyncio.sleep(0)
    assert turns.longest_seconds < 0.05


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
        joined(fan, n, counted, Encoder(), inbox)
    feed.publish(5)
    assert len(asked) == 1
    assert all(inbox.payloads == [b"5"] for inbox in inboxes)


# Replays: a group is held while members are on their way to it.


def messages(first: int, last: int, data: Any = "x") -> list[Message]:
    """Return consecutive stored messages, as they are read from the table."""
    return [
        Message(CHANNEL, n, f"id {n}", "client", n, None, encode_json(data))
        for n in range(first, last + 1)
    ]


def payloads_of(slices: Sequence[groups.Slice]) -> list[bytes]:
    return [payload for payloads, _ in slices for payload in payloads]


def held(fan: FanOut, encode: Encode, filters: CompiledFilters = EVERY_MESSAGE) -> Group:
    """Return a group that two replays are on their way to."""
    group = fan.hold(CHANNEL, "all", filters, encode)
    assert fan.hold(CHANNEL, "all", filters, encode) is group
    return group


def test_a_group_that_is_held_costs_no_encoding_and_ends_with_the_last_release() -> None:
    fan, feed = fan_out()
    encode = Encoder()
    group = held(fan, encode)
    feed.publish(1)
    assert encode.calls == 0
    group.release()
    assert len(feed.subscribers) == 1
    group.release()
    assert feed.subscribers == []


def test_a_group_goes_on_for_its_member_when_the_replay_before_it_is_over() -> None:
    fan, feed = fan_out()
    inbox = Inbox()
    group = fan.hold(CHANNEL, "all", EVERY_MESSAGE, Encoder())
    feed.publish("before")
    leave = group.add(inbox)
    group.release()
    feed.publish("after")
    assert inbox.payloads == [b'"after"']
    leave()
    leave()
    assert feed.subscribers == []


def test_a_group_that_nothing_feeds_any_more_takes_no_member_and_is_not_found_again() -> None:
    fan, feed = fan_out()
    group = fan.hold(CHANNEL, "all", EVERY_MESSAGE, Encoder())
    (groups,) = feed.subscribers
    groups.dropped()
    with pytest.raises(DeliveryFailed):
        group.add(Inbox())
    inbox = Inbox()
    joined(fan, "all", EVERY_MESSAGE, Encoder(), inbox)
    group.release()
    feed.publish(1)
    assert inbox.payloads == [b"1"]


@pytest.mark.anyio
async def test_what_several_replay_is_encoded_once() -> None:
    fan, _feed = fan_out()
    encode = Encoder()
    group = held(fan, encode)
    page = messages(1, 50)
    at_once = await asyncio.gather(*(group.encoded(page) for _ in range(100)))
    assert all(payloads_of(one) == [b'"x"'] * 50 for one in at_once)
    assert payloads_of(await group.encoded(page)) == [b'"x"'] * 50
    assert encode.calls == 50
    await group.encoded(messages(1, 49))
    assert encode.calls == 99, "another page"


@pytest.mark.anyio
async def test_what_one_replays_alone_is_not_kept() -> None:
    """Ten thousand filters are ten thousand groups: each would keep what nobody asks for again."""
    fan, _feed = fan_out()
    group = fan.hold(CHANNEL, "all", EVERY_MESSAGE, Encoder())
    await group.encoded(messages(1, 50))
    assert not group._kept


@pytest.mark.anyio
async def test_what_is_kept_of_replays_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_KEPT_BYTES_MAX", 1_000)
    fan, _feed = fan_out()
    encode = Encoder()
    group = held(fan, encode)
    first, second, third = (messages(n, n, "x" * 398) for n in (1, 2, 3))
    for page in (first, second, first, third):
        await group.encoded(page)
    assert encode.calls == 3
    await group.encoded(first)  # used after the second
    assert encode.calls == 3
    await group.encoded(second)
    assert encode.calls == 4
    assert group._kept_bytes <= 1_000
    await group.encoded(messages(4, 4, "x" * 2_000))  # larger than the bound: not kept
    assert not group._kept
    group.release()
    group.release()
    assert group._kept_bytes == 0


@pytest.mark.anyio
async def test_what_is_encoded_comes_in_slices() -> None:
    fan, _feed = fan_out()
    group = fan.hold(CHANNEL, "all", EVERY_MESSAGE, Encoder())
    slices = await group.encoded(messages(1, 20, "x" * 29_998))
    assert [(len(payloads), size) for payloads, size in slices[:-1]] == [(3, 90_000)] * 6
    assert payloads_of(slices) == [b'"' + b"x" * 29_998 + b'"'] * 20


@pytest.mark.anyio
async def test_a_replay_leaves_the_loop_to_the_others_while_it_looks() -> None:
    fan, _feed = fan_out()
    group = fan.hold(CHANNEL, "all", equal("data", "nothing"), Encoder())
    others_went = 0

    async def others() -> None:
        nonlocal others_went
        while True:
            others_went += 1
            await asyncio.sleep(0)

    going = asyncio.create_task(others())
    assert await group.encoded(messages(1, 100, "x" * 60_000)) == []
    going.cancel()
    assert others_went >= 10


@pytest.mark.anyio
async def test_a_replay_through_filters_that_take_long_gives_what_they_accept() -> None:
    fan, _feed = fan_out()
    group = held(fan, Encoder(), slow("a"))
    page = [*messages(1, 2, {"text": "b"}), *messages(3, 4, {"text": "a"})]
    both = await asyncio.gather(group.encoded(page), group.encoded(page))
    assert [payloads_of(one) for one in both] == [[b'{"text":"a"}'] * 2] * 2


@pytest.mark.anyio
async def test_one_who_leaves_takes_the_encoding_from_nobody_and_the_last_one_ends_it() -> None:
    fan, _feed = fan_out()
    group = held(fan, Encoder(), slow("a"))
    page = messages(1, 3, {"text": "a"})
    quitter, other = (asyncio.create_task(group.encoded(page)) for _ in range(2))
    await asyncio.sleep(0)
    quitter.cancel()
    assert len(payloads_of(await other)) == 3
    last = asyncio.create_task(group.encoded(messages(4, 5, {"text": "a"})))
    await asyncio.sleep(0)
    (encoding,) = group._encoding.values()
    last.cancel()
    group.release()
    group.release()
    await asyncio.wait({encoding})
    assert encoding.cancelled()


@pytest.mark.anyio
async def test_what_cannot_be_encoded_is_told_to_each_and_tried_again() -> None:
    fan, _feed = fan_out()
    fails = [True]

    def broken_once(message: Message) -> bytes:
        if fails:
            fails.clear()
            raise ZeroDivisionError
        return message.data_json

    group = held(fan, broken_once)
    page = messages(1, 2)
    outcomes = await asyncio.gather(
        *(group.encoded(page) for _ in range(2)), return_exceptions=True
    )
    assert [type(one) for one in outcomes] == [ZeroDivisionError] * 2
    assert payloads_of(await group.encoded(page)) == [b'"x"'] * 2


@pytest.mark.anyio
async def test_a_channel_that_counts_anew_is_not_given_the_bytes_of_the_old_count() -> None:
    """The places are the same; the messages are others."""
    fan, feed = fan_out()
    group = held(fan, Encoder())
    await group.encoded(messages(1, 2, "old"))
    (groups,) = feed.subscribers
    groups.restarted(0)
    assert payloads_of(await group.encoded(messages(1, 2, "new"))) == [b'"new"'] * 2


@pytest.mark.anyio
async def test_the_bytes_of_what_was_deleted_are_not_given_again() -> None:
    """From the first to the last there are fewer messages now."""
    fan, feed = fan_out()
    group = held(fan, Encoder())
    await group.encoded(messages(1, 3))
    (groups,) = feed.subscribers
    groups.removed()
    first, _deleted, last = messages(1, 3)
    assert payloads_of(await group.encoded([first, last])) == [b'"x"'] * 2


@pytest.mark.anyio
async def test_messages_that_are_not_stored_have_no_place_to_be_kept_by() -> None:
    fan, _feed = fan_out()
    group = held(fan, Encoder())
    for text in ("one", "two"):
        one = Message(CHANNEL, None, "id", "client", 1, None, encode_json(text))
        assert payloads_of(await group.encoded([one])) == [encode_json(text)]


@pytest.mark.anyio
async def test_events_come_to_those_who_asked_for_them_whatever_their_filters() -> None:
    fan, feed = fan_out()
    wanted = {
        (kind, events): (filters, Inbox())
        for kind, filters in (("light", equal("data", "no")), ("slow", slow("no")))
        for events in (True, False)
    }
    for key, (filters, inbox) in wanted.items():
        fan.hold(CHANNEL, key, filters, lambda one: type(one).__name__, events=key[1]).add(inbox)
    policy = PolicyChange(CHANNEL, b"{}")
    retraction = Retraction(CHANNEL, 2, "id", 1, ("gone",))
    (groups,) = feed.subscribers
    groups.deliver([*messages(1, 1), retraction, policy])
    served = cast("Any", groups)._serving
    await served
    for (_, events), (_, inbox) in wanted.items():
        assert [*map(str, inbox.payloads)] == (["Retraction", "PolicyChange"] if events else [])


@pytest.mark.anyio
async def test_the_bytes_of_what_was_retracted_are_not_given_again() -> None:
    """Nor those of a page that was read before, and comes to be encoded afterwards."""
    fan, feed = fan_out()
    group = held(fan, Encoder())
    page = messages(1, 3)
    await group.encoded(page)
    (groups,) = feed.subscribers
    groups.deliver([Retraction(CHANNEL, 4, "id", 1, ("gone",))])
    await group.encoded(page)
    first, _retracted, last = page
    assert payloads_of(await group.encoded([first, last])) == [b'"x"'] * 2


def test_a_retraction_looks_at_no_group_that_does_not_ask_for_events() -> None:
    fan, feed = fan_out()
    filters = [equal("data.to", n) for n in range(2_000)]
    for n, one in enumerate(filters):
        joined(fan, n, one, Encoder(), Inbox())
    (groups,) = feed.subscribers
    retraction = Retraction(CHANNEL, 2, "id", 1, ("gone",))
    began = process_time()
    groups.deliver([retraction] * 2_000)
    assert process_time() - began < 0.5, "4,000,000 looks take longer"


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0)
