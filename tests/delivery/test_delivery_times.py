"""How long from the commit to the sockets."""

import time
from collections.abc import Callable

from app.delivery.delivery_times import DeliveryTimes
from app.domain.channel import Channel
from app.domain.entry import PolicyChange
from app.domain.message import Message

CHANNEL = Channel("project", "widget")


def created(seconds_ago: float) -> Message:
    at = int((time.time() - seconds_ago) * 1000)
    return Message(CHANNEL, 1, "id", "client", at, None, b"1")


def test_what_was_stored_here_counts_from_its_commit_until_it_is_written() -> None:
    waiting: list[Callable[[], None]] = []
    times = DeliveryTimes(waiting.append)
    times.committed_at = time.monotonic()
    times.given(created(seconds_ago=100))
    times.committed_at = None
    assert sum(times.here.counts) == 0, "it is not written yet"
    time.sleep(0.02)
    waiting.pop()()
    assert sum(times.here.counts) == 1
    assert 0.02 <= times.here.total < 5
    assert sum(times.elsewhere.counts) == 0


def test_what_comes_from_another_process_counts_from_created() -> None:
    times = DeliveryTimes()
    times.given(created(seconds_ago=2))
    assert sum(times.here.counts) == 0
    assert 1.9 < times.elsewhere.total < 4


def test_a_clock_behind_the_databases_makes_no_negative_time() -> None:
    times = DeliveryTimes()
    times.given(created(seconds_ago=-60))
    assert (times.elsewhere.counts[0], times.elsewhere.total) == (1, 0)


def test_a_policy_of_another_process_has_no_time() -> None:
    times = DeliveryTimes()
    times.given(PolicyChange(CHANNEL, b"{}"))
    assert sum(times.here.counts) + sum(times.elsewhere.counts) == 0
