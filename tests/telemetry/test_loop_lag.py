"""A loop that is held up is seen."""

import asyncio
import time

import pytest

from app.telemetry.loop_lag import LAG_SECONDS, LoopLag

pytestmark = pytest.mark.anyio


async def until(lag: LoopLag, looks: int) -> None:
    while sum(lag.seconds.counts) < looks:  # noqa: ASYNC110  it has no event
        await asyncio.sleep(0.002)


async def test_a_loop_that_was_held_up_is_as_late_as_that() -> None:
    lag = LoopLag(interval_seconds=0.01)
    lag.start()
    await until(lag, 1)
    before = lag.seconds.total
    time.sleep(0.12)  # noqa: ASYNC251 - holds the loop up
    await until(lag, 3)
    lag.stop()
    assert lag.seconds.total - before >= 0.1
    late = LAG_SECONDS.index(0.1)
    assert sum(lag.seconds.counts[late:]) >= 1


async def test_it_ends_and_may_be_ended_twice() -> None:
    lag = LoopLag(interval_seconds=0.001)
    lag.start()
    lag.stop()
    lag.stop()
    await asyncio.sleep(0.01)
    assert sum(lag.seconds.counts) == 0
