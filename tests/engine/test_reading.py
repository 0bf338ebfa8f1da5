"""What a response needs is read once each, side by side."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.engine.reading import Reading, ReadingFailedError, Wanted
from app.errors import Unavailable
from app.schema.search_scope import SearchScope
from tests.engine.known_search import CHANNEL, FOUND, Known

pytestmark = pytest.mark.anyio

A, B = FieldPath("data", ("a",)), FieldPath("data", ("b",))
GROUPED = MessageQuery(group_by=A)
SUM, AVG = frozenset({AggregateFunction.SUM}), frozenset({AggregateFunction.AVG})


async def read(
    known: Known, query: MessageQuery, wanted: Wanted, inner: Mapping[str, Any] | None = None
) -> Reading:
    reading = Reading(SearchScope(known, CHANNEL, query))
    await reading.read(wanted, inner or {})
    return reading


def parts(known: Known) -> list[str]:
    return [one[0] for one in known.asked]


async def test_nothing_is_read_that_is_not_wanted() -> None:
    for query, wanted in (
        (MessageQuery(), Wanted()),
        (MessageQuery(), Wanted(groups=True, group_messages=("m",))),
        (GROUPED, Wanted(rows=True)),
        (GROUPED, Wanted(aggregates=(("a", frozenset()),))),
    ):
        known = Known()
        await read(known, query, wanted, {"a": A, "m": 5})
        assert parts(known) == []


async def test_rows_and_their_neighbours_are_one_read() -> None:
    known = Known()
    reading = await read(known, MessageQuery(), Wanted(rows=True, neighbours=True))
    assert parts(known) == ["messages"]
    assert reading.rows == FOUND
    assert reading.page.has_next


async def test_aggregates_of_one_field_are_one_read() -> None:
    known = Known()
    wanted = Wanted(aggregates=(("one", SUM), ("two", AVG), ("three", SUM)))
    reading = await read(known, MessageQuery(), wanted, {"one": A, "two": A, "three": B})
    assert [one[3:] for one in known.asked] == [(A, ["avg", "sum"]), (B, ["sum"])]
    assert reading.aggregate(A).sum == 3.0


async def test_what_groups_need_is_read_for_all_of_them_at_once() -> None:
    known = Known()
    wanted = Wanted(
        groups=True,
        group_messages=("one", "two"),
        group_aggregates=(("three", SUM),),
    )
    reading = await read(known, GROUPED, wanted, {"one": 2, "two": 2, "three": B})
    assert parts(known) == ["groups", "groups.messages", "groups.aggregate"]
    assert len(reading.of_groups("group_messages", 2)) == len(reading.rows)


async def test_without_groups_nothing_is_read_of_them() -> None:
    known = Known(groups=0)
    await read(known, GROUPED, Wanted(groups=True, group_messages=("one",)), {"one": 2})
    assert parts(known) == ["groups"]


async def test_reads_are_under_way_side_by_side() -> None:
    class Waiting(Known):
        def __init__(self) -> None:
            super().__init__()
            self.both = asyncio.Barrier(2)

        async def messages(self, channel: Any, query: MessageQuery) -> Any:
            await self.both.wait()
            return await super().messages(channel, query)

        async def total_count(self, channel: Any, query: MessageQuery) -> int:
            await self.both.wait()
            return await super().total_count(channel, query)

    async with asyncio.timeout(10):
        reading = await read(Waiting(), MessageQuery(), Wanted(rows=True, total_count=True))
    assert reading.total_count == 7


async def test_what_failed_and_what_did_not_is_answered_again_without_a_read() -> None:
    known = Known(fails="totalCount")
    unavailable: list[bool] = []
    reading = Reading(SearchScope(known, CHANNEL, MessageQuery(), lambda: unavailable.append(True)))
    with pytest.raises(ReadingFailedError) as failed:
        await reading.read(Wanted(rows=True, total_count=True), {})
    assert unavailable == [True]
    asked = parts(known)
    assert await failed.value.search.messages(CHANNEL, MessageQuery()) == FOUND
    with pytest.raises(Unavailable):
        await failed.value.search.total_count(CHANNEL, MessageQuery())
    assert parts(known) == asked
