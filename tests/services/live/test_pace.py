"""A replay goes at the pace of its reader, and gives up on one that reads nothing."""

import asyncio

import pytest

from app.errors import SubscriberTooSlow
from app.services.live import pace
from app.services.live.pace import Pace

pytestmark = pytest.mark.anyio


class Reader:
    """Counts how often it was waited for."""

    def __init__(self) -> None:
        self.waits = 0

    async def drained(self) -> None:
        self.waits += 1


async def test_it_waits_after_each_64_kib_and_not_before() -> None:
    reader = Reader()
    paced = Pace(reader.drained)
    for _ in range(63):
        await paced.wrote(1024)
    assert reader.waits == 0
    await paced.wrote(1024)
    assert reader.waits == 1
    await paced.wrote(65_535)
    assert reader.waits == 1
    await paced.wrote(1)
    assert reader.waits == 2


async def test_a_wait_of_ones_own_begins_the_count_anew() -> None:
    reader = Reader()
    paced = Pace(reader.drained)
    await paced.wrote(65_535)
    await paced.wait()
    await paced.wrote(65_535)
    assert reader.waits == 1


async def test_a_reader_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_STALL_SECONDS", 0.01)

    async def never() -> None:
        await asyncio.Event().wait()

    with pytest.raises(SubscriberTooSlow, match=r"nothing was read for 0\.01 s"):
        await Pace(never).wait()
