"""Equal reads at once are one, and none is older than its question."""

import asyncio
from itertools import count

import pytest

from app.services.live.shared_read import SharedRead

pytestmark = pytest.mark.anyio


class Reads:
    """Counts reads; each ends when it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.let_go = asyncio.Semaphore(0)
        self._numbers = count(1)

    async def __call__(self) -> int:
        self.begun += 1
        number = next(self._numbers)
        await self.let_go.acquire()
        return number


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_come_during_a_read_share_the_next_one() -> None:
    reads = Reads()
    shared = SharedRead(reads)
    first = asyncio.create_task(shared())
    await _turns()
    late = [asyncio.create_task(shared()) for _ in range(3)]
    await _turns()
    assert reads.begun == 1
    reads.let_go.release()
    assert await first == 1
    reads.let_go.release()
    assert await asyncio.gather(*late) == [2, 2, 2]


async def test_whoever_gives_up_takes_nothing_from_the_others() -> None:
    reads = Reads()
    shared = SharedRead(reads)
    one, other = asyncio.create_task(shared()), asyncio.create_task(shared())
    await _turns()
    one.cancel()
    reads.let_go.release()
    assert await other == 1


async def test_a_failure_is_told_to_all_and_the_next_read_is_a_new_one() -> None:
    fails = [True, False]

    async def read() -> str:
        await asyncio.sleep(0)
        if fails.pop(0):
            raise OSError("away")
        return "here"

    shared = SharedRead(read)
    outcomes = await asyncio.gather(shared(), shared(), return_exceptions=True)
    assert [type(one) for one in outcomes] == [OSError, OSError]
    assert await shared() == "here"


async def test_a_cancelled_one_ends_what_is_under_way() -> None:
    reads = Reads()
    shared = SharedRead(reads)
    waiting = asyncio.create_task(shared())
    await _turns()
    shared.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
