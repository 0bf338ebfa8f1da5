import asyncio

import pytest

from app.errors import Unavailable
from app.services.live.shared_opening import SharedOpening

pytestmark = pytest.mark.anyio


class Door:
    """Opens when it is told to, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.outcome: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def open(self) -> int:
        self.asked += 1
        return await self.outcome


async def test_all_share_one_opening_and_who_comes_later_has_it() -> None:
    door = Door()
    opened = SharedOpening(door.open)
    waiting = [asyncio.create_task(opened()) for _ in range(3)]
    door.outcome.set_result(7)
    assert await asyncio.gather(*waiting) == [7, 7, 7]
    assert await opened() == 7
    assert door.asked == 1


async def test_a_failure_is_told_to_all_and_tried_again_by_the_next() -> None:
    door = Door()
    opened = SharedOpening(door.open)
    waiting = [asyncio.create_task(opened()) for _ in range(3)]
    door.outcome.set_exception(Unavailable("the database is away"))
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in told] == [Unavailable] * 3
    door.outcome = asyncio.get_running_loop().create_future()
    door.outcome.set_result(7)
    assert await opened() == 7
    assert door.asked == 2


async def test_whoever_gives_up_does_not_take_it_from_the_others() -> None:
    door = Door()
    opened = SharedOpening(door.open)
    leaving, staying = asyncio.create_task(opened()), asyncio.create_task(opened())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    door.outcome.set_result(7)
    assert await staying == 7
    assert door.asked == 1


async def test_one_that_is_under_way_can_be_ended() -> None:
    door = Door()
    opened = SharedOpening(door.open)
    opened.cancel()  # nothing yet
    waiting = asyncio.create_task(opened())
    await asyncio.sleep(0)
    opened.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
