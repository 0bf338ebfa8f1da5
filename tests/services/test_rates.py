"""Token buckets, and who is counted by which."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import RateLimited
from app.peer import Peer
from app.services.rates import Buckets, PerSecond, Rates
from app.telemetry.counters import COUNTED

SECOND = 1_000_000_000
HERE, ELSEWHERE = Peer("192.0.2.1", "1"), Peer("192.0.2.2", "2")
ANONYMOUS = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True)
SIGNED = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True, client_id="signed-a")
ALICE = Viewer("Alice", DEFAULT_PERMISSIONS, subject="alice")
BOB = Viewer("Bob", DEFAULT_PERMISSIONS, subject="bob")
NAMELESS = Viewer(None, DEFAULT_PERMISSIONS)
"""Whose token has no `sub`."""


class Clock:
    now = 10**15

    def __call__(self) -> int:
        return self.now


def rates(clock: Clock, *, burst_seconds: float = 2, **per_second: float) -> Rates:
    return Rates("publishes", PerSecond(**per_second), burst_seconds, clock)


def admitted(of: Rates, viewer: Viewer = ALICE, peer: Peer = HERE, project: str = "demo") -> int:
    """Ask until refused; return how many were let in."""
    for number in range(1000):
        try:
            of.admit(viewer, peer, project)
        except RateLimited:
            return number
    return 1000


def test_a_burst_and_then_the_rate() -> None:
    clock = Clock()
    of = rates(clock, publisher=5)
    assert admitted(of) == 10
    clock.now += SECOND
    assert admitted(of) == 5
    clock.now += 100 * SECOND
    assert admitted(of) == 10


def test_a_refusal_says_when_to_come_back_and_counts_nothing() -> None:
    clock = Clock()
    of = rates(clock, publisher=4, burst_seconds=1)
    before = COUNTED.refusals["rate"]
    assert admitted(of) == 4
    with pytest.raises(RateLimited) as raised:
        of.admit(ALICE, HERE, "demo")
    assert raised.value.retry_after_ms == 250
    assert raised.value.message == (
        "too many publishes by this publisher: allowed are 4 a second, 4 at once; retry in 250 ms"
    )
    clock.now += 250_000_000
    of.admit(ALICE, HERE, "demo")
    assert COUNTED.refusals["rate"] == before + 2


def test_a_rate_below_one_lets_one_at_once() -> None:
    clock = Clock()
    of = rates(clock, publisher=0.5, burst_seconds=0)
    assert admitted(of) == 1
    clock.now += 2 * SECOND - 1
    assert admitted(of) == 0
    clock.now += 1
    assert admitted(of) == 1


def test_without_rates_nothing_is_counted() -> None:
    assert admitted(rates(Clock())) == 1000


def test_each_publisher_has_a_rate_of_its_own_wherever_it_publishes() -> None:
    of = rates(Clock(), publisher=2)
    assert admitted(of) == 4
    assert admitted(of, ALICE, ELSEWHERE, "other") == 0
    assert admitted(of, BOB) == 4
    assert admitted(of, SIGNED) == 4
    # Nobody proves who they are: the address counts, here without a rate.
    assert admitted(of, ANONYMOUS) == 1000
    assert admitted(of, NAMELESS) == 1000


def test_an_address_counts_for_all_whom_no_subject_names() -> None:
    of = rates(Clock(), address=2)
    assert admitted(of, ANONYMOUS) == 4
    assert admitted(of, SIGNED) == 0
    assert admitted(of, NAMELESS) == 0
    assert admitted(of, ALICE) == 1000
    assert admitted(of, SIGNED, ELSEWHERE) == 4


def test_an_ipv6_network_is_one_address() -> None:
    of = rates(Clock(), address=2)
    assert admitted(of, ANONYMOUS, Peer("2001:db8::1", "1")) == 4
    assert admitted(of, ANONYMOUS, Peer("2001:db8::ffff:2", "1")) == 0
    assert admitted(of, ANONYMOUS, Peer("2001:db8:0:1::1", "1")) == 4


def test_a_project_counts_for_everybody_moderators_too() -> None:
    of = rates(Clock(), project=2)
    moderator = Viewer("Ada", frozenset({Permission.ADMIN}), subject="ada")
    assert admitted(of, moderator) == 4
    assert admitted(of, ANONYMOUS, ELSEWHERE) == 0
    assert admitted(of, ALICE, HERE, "other") == 4


def test_what_one_rate_refuses_counts_for_no_other() -> None:
    clock = Clock()
    of = rates(clock, publisher=2, project=3)
    assert admitted(of) == 4
    for _ in range(10):
        with pytest.raises(RateLimited, match="by this publisher"):
            of.admit(ALICE, HERE, "demo")
    assert admitted(of, BOB) == 2
    with pytest.raises(RateLimited, match="in this project"):
        of.admit(BOB, HERE, "demo")


def test_full_buckets_leave() -> None:
    buckets = Buckets(10, 1)
    now = 10**15
    for number in range(1000):
        buckets.take(f"old {number}", now)
    assert len(buckets) == 1000
    for _ in range(3):
        now += SECOND
        buckets.take(f"new {now}", now)
    assert len(buckets) == 2


def test_at_most_two_generations_are_kept_and_the_older_one_begins_anew() -> None:
    buckets = Buckets(1, 1)
    now = 10**15
    for number in range(60_000):
        buckets.take(str(number), now)
    assert len(buckets) <= 40_000
    assert buckets.take("59999", now) > 0
    assert buckets.take("0", now) == 0


def test_a_project_that_is_used_up_leaves_address_and_publisher_as_they_were() -> None:
    clock = Clock()
    of = rates(clock, publisher=2, address=2, project=1, burst_seconds=1)
    assert admitted(of, ANONYMOUS, ELSEWHERE) == 1
    for _ in range(5):
        with pytest.raises(RateLimited, match="in this project"):
            of.admit(SIGNED, HERE, "demo")
    assert admitted(of, SIGNED, HERE, "one") + admitted(of, SIGNED, HERE, "two") == 2


@given(
    per_second=st.sampled_from([0.5, 1, 3, 7.5, 100]),
    burst=st.sampled_from([0, 0.3, 1, 4]),
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3 * SECOND)), max_size=60),
)
def test_generations_change_nothing(
    per_second: float, burst: float, steps: list[tuple[str, int]]
) -> None:
    """A bucket that is dropped when it is full is the same as one that is kept for ever."""
    buckets = Buckets(per_second, burst)
    full_at: dict[str, int] = {}
    share = round(SECOND / per_second)
    now = 10**15
    for key, later in steps:
        now += later
        expected = max(full_at.get(key, 0), now) + share - buckets.at_once * share <= now
        assert (buckets.take(key, now) == 0) == expected
        if expected:
            full_at[key] = max(full_at.get(key, 0), now) + share


@given(
    per_second=st.floats(0.1, 1000),
    burst=st.floats(0, 10),
    waits=st.lists(st.integers(0, SECOND), min_size=1, max_size=200),
)
def test_never_more_than_the_burst_and_the_rate(
    per_second: float, burst: float, waits: list[int]
) -> None:
    clock = Clock()
    began = clock.now
    of = rates(clock, burst_seconds=burst, publisher=per_second)
    taken = 0
    for wait in waits:
        clock.now += wait
        taken += _tried(lambda: of.admit(ALICE, HERE, "demo"))
    most = max(1, int(per_second * burst)) + per_second * (clock.now - began) / SECOND
    assert taken <= most + 1e-3


def _tried(call: Callable[[], None]) -> bool:
    try:
        call()
    except RateLimited:
        return False
    return True
