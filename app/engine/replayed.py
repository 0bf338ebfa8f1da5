"""Reads that were made for a response, for the engine that makes the response after all."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.domain.results import AggregateRow, GroupRow, Page
from app.services.searching import ALL_FUNCTIONS, Searching

__all__ = ["Replayed"]


class Replayed:
    """A `Searching` that answers as reads of a response have been answered, failures included.

    Args:
        search: who was asked.
        found: what came, or what was raised, by what was asked: see `Reading`.
    """

    def __init__(self, search: Searching, found: Mapping[Hashable, Any]) -> None:
        self._search = search
        self._found = found

    async def messages(self, _channel: Channel, _query: MessageQuery) -> list[Message]:
        """Return the page of messages."""
        found: list[Message] = self._again("messages")
        return found

    async def page_of_messages(self, _channel: Channel, _query: MessageQuery) -> Page[Message]:
        """Return the page of messages, and whether there is more on either side of it."""
        found: Page[Message] = self._again("page_of_messages")
        return found

    async def total_count(self, _channel: Channel, _query: MessageQuery) -> int:
        """Return how many messages match, or how many groups they make."""
        found: int = self._again("total_count")
        return found

    async def check_cursors(self, channel: Channel, query: MessageQuery) -> None:
        """Return if the channel has the messages that the query's cursors name."""
        await self._search.check_cursors(channel, query)

    async def groups(self, _channel: Channel, _query: MessageQuery) -> list[GroupRow]:
        """Return the page of groups."""
        found: list[GroupRow] = self._again("groups")
        return found

    async def page_of_groups(self, _channel: Channel, _query: MessageQuery) -> Page[GroupRow]:
        """Return the page of groups, and whether there is more on either side of it."""
        found: Page[GroupRow] = self._again("page_of_groups")
        return found

    async def group_messages(
        self, _channel: Channel, _query: MessageQuery, _keys: Sequence[bytes], limit: int
    ) -> list[list[Message]]:
        """Return the first messages of each of several groups."""
        found: list[list[Message]] = self._again(("group_messages", limit))
        return found

    async def aggregate(
        self,
        _channel: Channel,
        _query: MessageQuery,
        field: FieldPath,
        _functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> AggregateRow:
        """Return what a field comes to over all messages that match."""
        found: AggregateRow = self._again(("aggregate", field))
        return found

    async def group_aggregates(
        self,
        _channel: Channel,
        _query: MessageQuery,
        _keys: Sequence[bytes],
        field: FieldPath,
        _functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> list[AggregateRow]:
        """Return what a field comes to over each of several groups."""
        found: list[AggregateRow] = self._again(("group_aggregates", field))
        return found

    def _again(self, key: Hashable) -> Any:
        found = self._found[key]
        if isinstance(found, Exception):
            raise found
        return found
