"""Who answers a search, and how equal questions that are asked at once become one read."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Protocol, TypeVar

from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import FieldPath, MessageQuery
from app.storage.search import AggregateRow, GroupRow

__all__ = ["Searching", "SharedSearch"]

Found = TypeVar("Found")


class Searching(Protocol):
    """Answers the parts of a result: `app.storage.search.MessageSearch`, or who stands for it.

    What is returned is shared: nobody changes it.
    """

    async def messages(self, channel: Channel, query: MessageQuery) -> list[Message]:
        """Return the page of messages."""

    async def total_count(self, channel: Channel, query: MessageQuery) -> int:
        """Return how many messages match, or how many groups there are."""

    async def groups(self, channel: Channel, query: MessageQuery) -> list[GroupRow]:
        """Return the page of groups."""

    async def group_messages(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], limit: int
    ) -> list[list[Message]]:
        """Return the first messages of each of several groups."""

    async def aggregate(
        self, channel: Channel, query: MessageQuery, field: FieldPath
    ) -> AggregateRow:
        """Return what a field comes to over all messages that match."""

    async def group_aggregates(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], field: FieldPath
    ) -> list[AggregateRow]:
        """Return what a field comes to over each of several groups."""


class SharedSearch:
    """A `Searching` whose equal reads are one: whoever asks while one is under way shares the next.

    Never one that began before the question: its snapshot may lack a message that who asks has
    seen acknowledged.
    """

    def __init__(self, search: Searching) -> None:
        self._search = search
        self._reads: dict[Hashable, _Read] = {}

    async def messages(self, channel: Channel, query: MessageQuery) -> list[Message]:
        """Return the page of messages."""
        return await self._shared(
            (channel, query, "messages"), lambda: self._search.messages(channel, query)
        )

    async def total_count(self, channel: Channel, query: MessageQuery) -> int:
        """Return how many messages match, or how many groups there are."""
        return await self._shared(
            (channel, query, "count"), lambda: self._search.total_count(channel, query)
        )

    async def groups(self, channel: Channel, query: MessageQuery) -> list[GroupRow]:
        """Return the page of groups."""
        return await self._shared(
            (channel, query, "groups"), lambda: self._search.groups(channel, query)
        )

    async def group_messages(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], limit: int
    ) -> list[list[Message]]:
        """Return the first messages of each of several groups."""
        return await self._shared(
            (channel, query, "messages", tuple(keys), limit),
            lambda: self._search.group_messages(channel, query, keys, limit),
        )

    async def aggregate(
        self, channel: Channel, query: MessageQuery, field: FieldPath
    ) -> AggregateRow:
        """Return what a field comes to over all messages that match."""
        return await self._shared(
            (channel, query, field), lambda: self._search.aggregate(channel, query, field)
        )

    async def group_aggregates(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], field: FieldPath
    ) -> list[AggregateRow]:
        """Return what a field comes to over each of several groups."""
        return await self._shared(
            (channel, query, field, tuple(keys)),
            lambda: self._search.group_aggregates(channel, query, keys, field),
        )

    async def _shared(self, key: Hashable, read: Callable[[], Awaitable[Found]]) -> Found:
        running = self._reads.get(key)
        if running is None:
            running = self._reads[key] = _Read()
            # Nobody else waits for this one, so that it needs no task of its own.
            return await self._run(key, running, read)
        if running.next is None:
            running.next = asyncio.create_task(self._run_next(key, running, read))
            # Whoever waited for it may be gone: no warning about that.
            running.next.add_done_callback(lambda task: task.cancelled() or task.exception())
        # Shielded: whoever gives up must not take it from the others.
        found: Found = await asyncio.shield(running.next)
        return found

    async def _run(
        self, key: Hashable, running: "_Read", read: Callable[[], Awaitable[Found]]
    ) -> Found:
        try:
            return await read()
        finally:
            if running.next is None:
                del self._reads[key]
            else:
                # In its place at once, so that nobody overtakes those who wait.
                self._reads[key] = running.successor = _Read()
                running.over.set()

    async def _run_next(
        self, key: Hashable, before: "_Read", read: Callable[[], Awaitable[Found]]
    ) -> Found:
        await before.over.wait()
        assert before.successor is not None
        return await self._run(key, before.successor, read)


class _Read:
    """One under way, and the one that follows for those who asked meanwhile."""

    __slots__ = ("next", "over", "successor")

    def __init__(self) -> None:
        self.next: asyncio.Task[Any] | None = None
        self.over = asyncio.Event()
        self.successor: _Read | None = None
