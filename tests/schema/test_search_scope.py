"""What one query reads: once, together, and only what is asked for."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, cast

import pytest

from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.domain.results import AggregateRow, GroupRow, Page
from app.errors import Unavailable
from app.schema.search_scope import SearchScope
from tests.domain.query.strategies import CHANNEL
from tests.storage.stored import published

pytestmark = pytest.mark.anyio

_MESSAGES = published([1, 2])
_SCORE = FieldPath("data", ("score",))


class Asked:
    """A search that notes what it was asked."""

    def __init__(self) -> None:
        self.reads: list[Any] = []
        self.away = False

    async def _read(self, *what: Any) -> None:
        self.reads.append(what)
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("the database is unavailable; retry later")

    async def messages(self, *_: Any) -> list[Any]:
        await self._read("messages")
        return _MESSAGES

    async def page_of_messages(self, *_: Any) -> Page[Any]:
        await self._read("page of messages")
        return Page(_MESSAGES, has_next=True, has_previous=False)

    async def groups(self, *_: Any) -> list[GroupRow]:
        await self._read("groups")
        return [GroupRow(b"1", 2)]

    async def page_of_groups(self, *_: Any) -> Page[GroupRow]:
        await self._read("page of groups")
        return Page([GroupRow(b"1", 2)], has_next=False, has_previous=True)

    async def group_messages(self, *asked: Any) -> list[Any]:
        await self._read("messages of groups", *asked[2:])
        return [_MESSAGES[:1] for _ in asked[2]]

    async def aggregate(
        self, _channel: Any, _query: Any, path: FieldPath, functions: Collection[AggregateFunction]
    ) -> AggregateRow:
        await self._read("aggregate", path, set(functions))
        return AggregateRow(count=7)

    async def group_aggregates(
        self,
        _channel: Any,
        _query: Any,
        keys: Sequence[bytes],
        path: FieldPath,
        functions: Collection[AggregateFunction],
    ) -> list[AggregateRow]:
        await self._read("aggregates", list(keys), path, set(functions))
        return [AggregateRow(count=number) for number, _ in enumerate(keys)]


def scope_of(asked: Asked, **more: Any) -> SearchScope:
    return SearchScope(cast("Any", asked), CHANNEL, MessageQuery(), **more)


async def test_the_page_and_what_is_beside_it_are_one_read() -> None:
    asked = Asked()
    scope = scope_of(asked)
    page, info = await asyncio.gather(
        scope.page_of_messages(), scope.page_of_messages(neighbours=True)
    )
    assert page is info
    assert info.has_next
    assert asked.reads == [("page of messages",)]


async def test_nobody_pays_for_what_is_beside_a_page_unasked() -> None:
    asked = Asked()
    scope = scope_of(asked)
    first, second = await asyncio.gather(scope.page_of_messages(), scope.page_of_messages())
    assert first.rows is second.rows is _MESSAGES
    assert (await scope.page_of_groups()).rows == [GroupRow(b"1", 2)]
    assert asked.reads == [("messages",), ("groups",)]


async def test_groups_and_what_is_beside_them_are_one_read() -> None:
    asked = Asked()
    scope = scope_of(asked)
    groups, info = await asyncio.gather(
        scope.page_of_groups(), scope.page_of_groups(neighbours=True)
    )
    assert groups is info
    assert info.has_previous
    assert asked.reads == [("page of groups",)]


async def test_all_groups_are_asked_at_once_for_what_is_selected() -> None:
    asked = Asked()
    scope = scope_of(asked)
    keys, functions = [b"1", b"2"], [AggregateFunction.COUNT, AggregateFunction.MAX]
    rows = await asyncio.gather(
        *(scope.aggregate(_SCORE, function, key) for key in keys for function in functions)
    )
    assert [row.count for row in rows] == [0, 0, 1, 1]
    await asyncio.gather(*(scope.messages_of_group(key, 3) for key in keys))
    assert (await scope.aggregate(_SCORE, AggregateFunction.SUM, None)).count == 7
    assert asked.reads == [
        ("aggregates", keys, _SCORE, set(functions)),
        ("messages of groups", keys, 3),
        ("aggregate", _SCORE, {AggregateFunction.SUM}),
    ]


async def test_a_read_that_failed_is_told_of() -> None:
    asked, told = Asked(), list[bool]()
    asked.away = True
    scope = scope_of(asked, on_unavailable=lambda: told.append(True))
    with pytest.raises(Unavailable):
        await scope.page_of_messages()
    assert told == [True]
