"""Pauses of publishers and rates of channels, by a clock that the tests turn."""

import pytest

from app.services import pacing
from app.services.pacing import ChannelRates, Pauses


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_publisher_waits_out_its_pause() -> None:
    clock = Clock()
    pauses = Pauses(clock)
    assert pauses.wait_ms("ann", 30) == 0
    pauses.note("ann", None)
    assert pauses.wait_ms("ann", 30) == 30_000
    assert pauses.wait_ms("bob", 30) == 0
    clock.now += 29.9995
    assert pauses.wait_ms("ann", 30) == 1
    clock.now += 0.0005
    assert pauses.wait_ms("ann", 30) == 0


def test_what_did_not_happen_is_forgotten() -> None:
    pauses = Pauses(Clock())
    pauses.note("ann", None)
    pauses.forget("ann")
    pauses.forget("bob")
    assert pauses.wait_ms("ann", 30) == 0


def test_a_retry_is_known_by_its_key() -> None:
    pauses = Pauses(Clock())
    pauses.note("ann", "vote")
    assert pauses.is_retry("ann", "vote")
    assert not pauses.is_retry("ann", "other")
    assert not pauses.is_retry("bob", "vote")
    pauses.note("ann", None)
    assert not pauses.is_retry("ann", None)


def test_publishers_are_forgotten_after_a_day_and_beyond_their_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    pauses = Pauses(clock)
    pauses.note("ann", None)
    clock.now += 86_401
    pauses.note("bob", None)
    assert list(pauses._last) == ["bob"]
    monkeypatch.setattr(pacing, "_PUBLISHERS_MAX", 2)
    for name in ("cleo", "bob", "dan"):
        pauses.note(name, None)
    assert list(pauses._last) == ["bob", "dan"]


@pytest.mark.parametrize("per_second", [1, 3, 7, 100, 9_999])
def test_a_channel_has_its_rate_at_once_and_then_each_second_again(per_second: int) -> None:
    clock = Clock()
    rates = ChannelRates(clock)

    def publish_all() -> int:
        published = 0
        while rates.wait_ms("channel", per_second) == 0:
            rates.note("channel", per_second)
            published += 1
        return published

    assert publish_all() == per_second
    wait = rates.wait_ms("channel", per_second)
    assert 0 < wait < 1 + 1000 / per_second
    clock.now += wait / 1000
    assert publish_all() >= 1
    clock.now += 5
    assert publish_all() == per_second


def test_what_was_not_published_is_given_back() -> None:
    rates = ChannelRates(Clock())
    rates.give_back("channel", 1)
    rates.note("channel", 1)
    assert rates.wait_ms("channel", 1) == 1000
    assert rates.wait_ms("other", 1) == 0
    rates.give_back("channel", 1)
    assert rates.wait_ms("channel", 1) == 0
    rates.note("channel", 1)
    rates.forget("channel")
    assert rates.wait_ms("channel", 1) == 0
