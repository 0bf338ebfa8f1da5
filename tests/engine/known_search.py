"""A search that finds the same whatever is asked."""

from collections.abc import Collection, Sequence
from typing import Any

from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.domain.results import AggregateRow, GroupRow, Page
from app.errors import Unavailable
from app.services.searching import ALL_FUNCTIONS

__all__ = ["CHANNEL", "FOUND", "Known"]

CHANNEL = Channel("p", "w")
FOUND = [
    Message(CHANNEL, 1, "id 1", "client 1", 5, None, b'{"n":1.50,"t":"\\u00e9"}'),
    Message(CHANNEL, 2, "id 2", 'Zo\u00eb "\U0001f3ac"', 6, "ann\x00\x1f\x7f\\", b"[]"),
]


class Known:
    """A search that finds the same whatever is asked, and says what it was asked."""

    def __init__(self, fails: str = "", groups: int = 2) -> None:
        self._fails = fails
        self._groups = groups
        self.asked: list[Any] = []

    def _ask(self, part: str, *asked: Any) -> None:
        self.asked.append((part, *asked))
        if part == self._fails:
            raise Unavailable("the database is unavailable; retry later")
        if f"{part} broken" == self._fails:
            raise ZeroDivisionError

    async def messages(self, channel: Channel, query: MessageQuery) -> list[Message]:
        self._ask("messages", channel, query)
        return FOUND

    async def total_count(self, channel: Channel, query: MessageQuery) -> int:
        self._ask("totalCount", channel, query)
        return 7

    async def groups(self, channel: Channel, query: MessageQuery) -> list[GroupRow]:
        self._ask("groups", channel, query)
        return [GroupRow(b"null", 3), GroupRow(b'{"a": 1.0}', 1)][: self._groups]

    async def page_of_messages(self, channel: Channel, query: MessageQuery) -> Page[Message]:
        self._ask("messages", channel, query)
        return Page(FOUND[: self._groups], has_next=True, has_previous=False)

    async def page_of_groups(self, channel: Channel, query: MessageQuery) -> Page[GroupRow]:
        return Page(await self.groups(channel, query), has_next=False, has_previous=True)

    async def check_cursors(self, channel: Channel, query: MessageQuery) -> None:
        self._ask("cursors", channel, query)

    async def group_messages(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], limit: int
    ) -> list[list[Message]]:
        self._ask("groups.messages", channel, query, tuple(keys), limit)
        return [FOUND[:limit] for _ in keys]

    async def aggregate(
        self,
        channel: Channel,
        query: MessageQuery,
        field: FieldPath,
        functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> AggregateRow:
        self._ask("aggregate", channel, query, field, sorted(functions))
        return AggregateRow(
            count=2, distinct=1, min_json=b'"a"', max_json=b"1.50", sum=3.0, avg=1.5
        )

    async def group_aggregates(
        self,
        channel: Channel,
        query: MessageQuery,
        keys: Sequence[bytes],
        field: FieldPath,
        functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> list[AggregateRow]:
        self._ask("groups.aggregate", channel, query, tuple(keys), field, sorted(functions))
        return [AggregateRow() for _ in keys]
