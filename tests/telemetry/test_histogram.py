"""Buckets by upper bounds, the sum exact."""

import time
from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from app.telemetry.histogram import SEARCH_SECONDS, SECONDS, Histogram


def test_a_time_falls_into_the_first_bucket_that_it_fits() -> None:
    histogram = Histogram((1.0, 2.0))
    for seconds in (0.0, 1.0, 1.5, 2.0, 2.1, 100.0):
        histogram.observe(seconds)
    assert histogram.counts == [2, 2, 2]
    assert histogram.total == 106.6


@given(st.lists(st.floats(0, 30)))
def test_every_time_is_counted_once(times: list[float]) -> None:
    histogram = Histogram(SECONDS)
    for seconds in times:
        histogram.observe(seconds)
    assert sum(histogram.counts) == len(times)
    for bucket in range(len(SECONDS) + 1):
        expected = sum(bisect_left(SECONDS, seconds) == bucket for seconds in times)
        assert histogram.counts[bucket] == expected


def test_what_began_in_the_future_took_no_time() -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe_since(time.monotonic() + 60)
    assert (histogram.counts, histogram.total) == ([1, 0, 0], 0)
    histogram.observe_since(time.monotonic() - 1.5)
    assert histogram.counts[0] == 1
    assert histogram.total >= 1.5


def test_bounds_ascend() -> None:
    for bounds in (SECONDS, SEARCH_SECONDS):
        assert list(bounds) == sorted(set(bounds))
