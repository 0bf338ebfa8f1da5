"""Equal searches at once are one read, and never one that began before the question."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from app.domain.channel import Channel
from app.domain.query import FieldPath, MessageQuery
from app.errors import Unavailable
from app.services.shared_search import SharedSearch

pytestmark = pytest.mark.anyio

CHANNEL = Channel("p", "w")
FIELD = FieldPath("data", ("a",))
QUERY = MessageQuery(group_by=FIELD)
Ask = Callable[[SharedSearch], Awaitable[object]]
EVERY_READ: list[Ask] = [
    lambda one: one.messages(CHANNEL, QUERY),
    lambda one: one.page_of_messages(CHANNEL, QUERY),
    lambda one: one.total_count(CHANNEL, QUERY),
    lambda one: one.groups(CHANNEL, QUERY),
    lambda one: one.page_of_groups(CHANNEL, QUERY),
    lambda one: one.group_messages(CHANNEL, QUERY, [b"1"], 5),
    lambda one: one.group_messages(CHANNEL, QUERY, [b"2"], 5),
    lambda one: one.group_messages(CHANNEL, QUERY, [b"1"], 6),
    lambda one: one.aggregate(CHANNEL, QUERY, FIELD),
    lambda one: one.aggregate(CHANNEL, QUERY, FieldPath("data", ("b",))),
    lambda one: one.aggregate(CHANNEL, QUERY, FIELD, ()),
    lambda one: one.group_aggregates(CHANNEL, QUERY, [b"1"], FIELD),
    lambda one: one.messages(CHANNEL, MessageQuery(limit=1)),
    lambda one: one.messages(Channel("p", "v"), QUERY),
]


class Held:
    """A search whose reads are numbered, and end when they are let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()
        self.fails = False

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        async def read(*_asked: object) -> object:
            self.begun += 1
            number = self.begun
            await self.may_end.wait()
            if self.fails:
                raise Unavailable("away")
            return number

        read.__name__ = name
        return read


def shared(held: Held) -> SharedSearch:
    return SharedSearch(cast("Any", held))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_ask_while_a_read_is_under_way_share_the_next_one() -> None:
    held = Held()
    search = shared(held)
    first = asyncio.create_task(search.total_count(CHANNEL, QUERY))
    await turns()
    later = [asyncio.create_task(search.total_count(CHANNEL, QUERY)) for _ in range(9)]
    await turns()
    assert held.begun == 1
    held.may_end.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 9
    assert search._reads == {}


async def test_who_asks_while_the_next_one_is_under_way_waits_for_the_one_after() -> None:
    held = Held()
    search = shared(held)
    one = asyncio.create_task(search.total_count(CHANNEL, QUERY))
    await turns()
    two = asyncio.create_task(search.total_count(CHANNEL, QUERY))
    await turns()
    held.may_end.set()
    held.may_end = asyncio.Event()
    await turns()
    assert await one == 1
    assert held.begun == 2
    three = asyncio.create_task(search.total_count(CHANNEL, QUERY))
    await turns()
    assert held.begun == 2
    held.may_end.set()
    assert (await two, await three) == (2, 3)


async def test_different_questions_are_different_reads() -> None:
    held = Held()
    search = shared(held)
    asked = [asyncio.ensure_future(ask(search)) for ask in EVERY_READ]
    await turns()
    assert held.begun == len(EVERY_READ)
    held.may_end.set()
    assert sorted(cast("list[int]", await asyncio.gather(*asked))) == list(
        range(1, len(EVERY_READ) + 1)
    )


async def test_nobody_is_refused_for_what_another_one_asked() -> None:
    """The line of whoever asked first may be full, and that of the others empty."""

    class InLine(Held):
        asker: object = None

        def asked_by(self, asker: object) -> "InLine":
            line = InLine()
            line.asker, line.may_end = asker, self.may_end
            line.fails = asker == "greedy"
            return line

    held = InLine()
    search = shared(held)
    lone, *shares = [
        asyncio.create_task(search.asked_by(asker).total_count(CHANNEL, QUERY))
        for asker in ("other", "greedy", "another", "one more")
    ]
    await turns()
    held.may_end.set()
    assert await lone == 1
    refused, *found = await asyncio.gather(*shares, return_exceptions=True)
    assert isinstance(refused, Unavailable)
    assert found == [1, 1]
    assert search._reads == {}


async def test_a_failure_is_not_kept() -> None:
    held = Held()
    held.fails = True
    held.may_end.set()
    search = shared(held)
    found = await asyncio.gather(
        *(search.total_count(CHANNEL, QUERY) for _ in range(3)), return_exceptions=True
    )
    assert [type(one) for one in found] == [Unavailable] * 3
    held.fails = False
    assert await search.total_count(CHANNEL, QUERY) == held.begun


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    held = Held()
    search = shared(held)
    first, second, third = [
        asyncio.create_task(search.total_count(CHANNEL, QUERY)) for _ in range(3)
    ]
    await turns()
    first.cancel()
    second.cancel()
    await turns()
    held.may_end.set()
    assert await third == 2
    assert first.cancelled()
    assert second.cancelled()


async def test_cursors_are_checked_each_time() -> None:
    held = Held()
    held.may_end.set()
    search = shared(held)
    await asyncio.gather(*(search.check_cursors(CHANNEL, QUERY) for _ in range(3)))
    assert held.begun == 3
