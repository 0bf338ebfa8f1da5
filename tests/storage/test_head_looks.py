"""Heads are looked at together, and after they were asked for."""

import asyncio
from collections.abc import Sequence

import pytest

from app.domain.channel import Channel
from app.domain.message import Head
from app.errors import Unavailable
from app.storage.head_looks import HeadLooks

pytestmark = pytest.mark.anyio

ONE, OTHER = Channel("p", "one"), Channel("p", "other")


class Table:
    """Heads that a test sets; a read can be held up, or fail."""

    def __init__(self) -> None:
        self.sequence = 1
        self.reads: list[list[Channel]] = []
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.fails = False

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        self.reads.append(list(channels))
        head = Head(self.sequence, 5)
        await self.may_read.wait()
        if self.fails:
            raise Unavailable("away")
        return dict.fromkeys(channels, head)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_ask_at_once_share_one_look_whatever_their_channels() -> None:
    table = Table()
    looks = HeadLooks(table)
    heads = await asyncio.gather(*(looks.head(one) for one in (ONE, OTHER, ONE)))
    assert heads == [Head(1, 5)] * 3
    assert table.reads == [[ONE, OTHER]]


async def test_who_asks_while_a_look_is_under_way_gets_the_next_one() -> None:
    table = Table()
    looks = HeadLooks(table)
    table.may_read.clear()
    first = asyncio.create_task(looks.head(ONE))
    await turns()
    table.sequence = 2
    later = [asyncio.create_task(looks.head(ONE)) for _ in range(3)]
    await turns()
    table.may_read.set()
    assert (await first).sequence == 1
    assert [one.sequence for one in await asyncio.gather(*later)] == [2, 2, 2]
    assert len(table.reads) == 2


async def test_a_look_that_fails_is_told_and_the_next_one_is_made() -> None:
    table = Table()
    looks = HeadLooks(table)
    table.fails = True
    found = await asyncio.gather(looks.head(ONE), looks.head(OTHER), return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable, Unavailable]
    table.fails = False
    assert (await looks.head(ONE)).sequence == 1


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    table = Table()
    looks = HeadLooks(table)
    table.may_read.clear()
    gone, stays = [asyncio.create_task(looks.head(ONE)) for _ in range(2)]
    await turns()
    gone.cancel()
    await turns()
    table.may_read.set()
    assert (await stays).sequence == 1
    assert gone.cancelled()
