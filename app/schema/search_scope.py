"""One query of one channel while it is answered: fields that need the same read share it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from strawberry.dataloader import DataLoader

from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.domain.results import AggregateRow, GroupRow, Page
from app.errors import Unavailable
from app.services.searching import Searching

__all__ = ["SearchScope"]

Read = TypeVar("Read")

_Wanted: TypeAlias = tuple[bytes | None, AggregateFunction]
"""A function, of the group with this key or of all messages."""


@dataclass(slots=True, eq=False)
class SearchScope:
    """What is read for one query, at most once each.

    What fields ask for in one turn of the event loop is read together: the page once, with one
    row more where somebody wants to know whether there is one; for all groups at once; and of
    a field only the aggregates that are selected.
    """

    search: Searching
    channel: Channel
    query: MessageQuery
    on_unavailable: Callable[[], None] = lambda: None
    """Told of a read that failed because the database is away: it is worth another try."""
    _messages: DataLoader[bool, Page[Message]] | None = None
    _groups: DataLoader[bool, Page[GroupRow]] | None = None
    _of_groups: dict[int, DataLoader[bytes, list[Message]]] = field(default_factory=dict)
    _aggregates: dict[tuple[FieldPath, bool], DataLoader[_Wanted, AggregateRow]] = field(
        default_factory=dict
    )

    async def total_count(self) -> int:
        """Return how many messages match, or how many groups they make."""
        return await self._read(self.search.total_count(self.channel, self.query))

    async def page_of_messages(self, *, neighbours: bool = False) -> Page[Message]:
        """Return the page of messages.

        Args:
            neighbours: whether the page must know what is on either side of it.
        """
        if self._messages is None:

            async def load(keys: list[bool]) -> list[Page[Message]]:
                search, channel, query = self.search, self.channel, self.query
                if any(keys):
                    page = await self._read(search.page_of_messages(channel, query))
                else:
                    page = _alone(await self._read(search.messages(channel, query)))
                return [page] * len(keys)

            self._messages = DataLoader(load)
        return await self._messages.load(neighbours)

    async def page_of_groups(self, *, neighbours: bool = False) -> Page[GroupRow]:
        """Return the page of groups; as `page_of_messages`."""
        if self._groups is None:

            async def load(keys: list[bool]) -> list[Page[GroupRow]]:
                search, channel, query = self.search, self.channel, self.query
                if any(keys):
                    page = await self._read(search.page_of_groups(channel, query))
                else:
                    page = _alone(await self._read(search.groups(channel, query)))
                return [page] * len(keys)

            self._groups = DataLoader(load)
        return await self._groups.load(neighbours)

    async def messages_of_group(self, key: bytes, limit: int) -> list[Message]:
        """Return the first `limit` messages of the group with this key."""
        loader = self._of_groups.get(limit)
        if loader is None:

            async def load(keys: list[bytes]) -> list[list[Message]]:
                search, channel, query = self.search, self.channel, self.query
                return await self._read(search.group_messages(channel, query, keys, limit))

            loader = self._of_groups[limit] = DataLoader(load)
        return await loader.load(key)

    async def aggregate(
        self, path: FieldPath, function: AggregateFunction, group: bytes | None
    ) -> AggregateRow:
        """Return what a field comes to: of the row, only what `function` is about counts.

        Args:
            path: the field.
            function: what is wanted of it.
            group: the key of a group; None: of all messages that match.
        """
        loader = self._aggregates.get((path, group is None))
        if loader is None:

            async def load(wanted: list[_Wanted]) -> list[AggregateRow]:
                search, channel, query = self.search, self.channel, self.query
                functions = {function for _, function in wanted}
                keys = list(dict.fromkeys(key for key, _ in wanted if key is not None))
                if not keys:
                    whole = search.aggregate(channel, query, path, functions)
                    return [await self._read(whole)] * len(wanted)
                of_groups = search.group_aggregates(channel, query, keys, path, functions)
                rows = dict(zip(keys, await self._read(of_groups), strict=True))
                return [rows[key] for key, _ in wanted if key is not None]

            loader = self._aggregates[path, group is None] = DataLoader(load)
        return await loader.load((group, function))

    async def _read(self, reading: Awaitable[Read]) -> Read:
        """Return what a read of the search gives, or tell of its failure and raise it."""
        try:
            return await reading
        except Unavailable:
            self.on_unavailable()
            raise


def _alone(rows: list[Read]) -> Page[Read]:
    return Page(rows, has_next=False, has_previous=False)  # Nobody has asked.
