"""Whom a process that goes away tells when: all, once, spread, the busy ones last."""

import asyncio
import logging
import time

import pytest

from app.process.farewell import Farewell

pytestmark = pytest.mark.anyio


class Connection:
    """Notes when it was told."""

    def __init__(self, told: list["Connection"], *, busy: bool = False) -> None:
        self.busy = busy
        self.at = 0.0
        self._told = told

    def shutdown(self) -> None:
        self.at = time.monotonic()
        self._told.append(self)


async def test_many_are_told_once_in_random_order_spread_over_the_time() -> None:
    told: list[Connection] = []
    connections = [Connection(told) for _ in range(400)]
    began = time.monotonic()
    await Farewell(connections, 0.4).run()
    assert time.monotonic() - began >= 0.3
    assert sorted(told, key=id) == sorted(connections, key=id)
    assert told != connections
    # Not more than a few turns' share at once, however late the loop was.
    assert len({one.at // 0.02 for one in told}) >= 4


async def test_few_are_told_at_once_whatever_the_time() -> None:
    told: list[Connection] = []
    began = time.monotonic()
    await Farewell([Connection(told) for _ in range(20)], 60).run()
    assert len(told) == 20
    assert time.monotonic() - began < 1
    await Farewell([], 60).run()


async def test_the_busy_ones_are_told_last() -> None:
    told: list[Connection] = []
    busy = [Connection(told, busy=True) for _ in range(3)]
    idle = [Connection(told) for _ in range(100)]
    await Farewell([*busy, *idle], 0.2).run()
    assert set(told[-3:]) == set(busy)
    assert len(told) == 103


async def test_hurrying_tells_the_rest_at_once() -> None:
    told: list[Connection] = []
    farewell = Farewell([Connection(told) for _ in range(20_000)], 60)
    running = asyncio.create_task(farewell.run())
    await asyncio.sleep(0)
    assert 0 < len(told) < 1000
    farewell.hurry()
    await asyncio.wait_for(running, 5)
    assert len(told) == 20_000


async def test_one_that_fails_keeps_nobody_from_being_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Connection):
        def shutdown(self) -> None:
            raise RuntimeError("broken")

    told: list[Connection] = []
    with caplog.at_level(logging.ERROR):
        await Farewell([Connection(told), Broken(told), Connection(told)], 1).run()
    assert len(told) == 2
    assert "could not be told" in caplog.text
