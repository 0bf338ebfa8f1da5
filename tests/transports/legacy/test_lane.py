import asyncio
from collections.abc import Callable

import pytest

from app.transports.legacy.lane import Call, Lane

pytestmark = pytest.mark.anyio


class Calls:
    """Calls that end when told to."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.ended: list[int] = []
        self._may_end: dict[int, asyncio.Event] = {}

    def __getitem__(self, number: int) -> Call:
        self._may_end[number] = asyncio.Event()

        async def call() -> None:
            self.started.append(number)
            await self._may_end[number].wait()
            self.ended.append(number)

        return call

    def end(self, number: int) -> None:
        self._may_end[number].set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  what changes it runs on this loop
            await asyncio.sleep(0)


async def test_calls_run_up_to_the_bound_and_the_next_ones_wait_in_order() -> None:
    calls, lane = Calls(), Lane(2, 2)
    assert all(lane.submit(calls[number]) for number in (1, 2, 3, 4))
    assert lane.full
    assert not lane.submit(calls[5])
    await until(lambda: calls.started == [1, 2])
    calls.end(2)
    await until(lambda: calls.started == [1, 2, 3])
    calls.end(3)
    calls.end(1)
    calls.end(4)
    await lane.finished()
    assert calls.started == [1, 2, 3, 4]
    assert sorted(calls.ended) == [1, 2, 3, 4]
    assert not lane.full


async def test_each_end_is_told() -> None:
    seen: list[bool] = []
    calls = Calls()
    lane = Lane(1, 1, on_change=lambda: seen.append(lane.full))
    lane.submit(calls[1])
    lane.submit(calls[2])
    calls.end(1)
    await until(lambda: seen == [True])
    calls.end(2)
    await until(lambda: seen == [True, False])


async def test_cancel_ends_what_runs_and_drops_what_waits() -> None:
    calls, lane = Calls(), Lane(1, 1)
    lane.submit(calls[1])
    lane.submit(calls[2])
    await until(lambda: calls.started == [1])
    lane.cancel()
    await lane.finished()
    assert calls.started == [1]
    assert calls.ended == []
