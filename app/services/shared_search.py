"""Equal searches that are under way at once are one read."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from typing import Any, TypeVar

from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.domain.results import AggregateRow, GroupRow, Page
from app.services.searching import ALL_FUNCTIONS, Searches

__all__ = ["SharedSearch"]

Found = TypeVar("Found")


class SharedSearch:
    """A `Searching` whose equal reads are one: who asks while one is under way shares the next.

    Never one that began before the question: its snapshot may lack a message that who asks has
    seen acknowledged. And never a refusal: the line of whoever asked first may be full, say.
    """

    def __init__(self, search: Searches, reads: "dict[Hashable, _Read] | None" = None) -> None:
        """Take the parts.

        Args:
            search: reads.
            reads: under way; None: none is.
        """
        self._search = search
        self._reads: dict[Hashable, _Read] = {} if reads is None else reads

    def asked_by(self, asker: Hashable) -> "SharedSearch":
        """Return the same search for one request of an asker: see `Searches`."""
        return SharedSearch(self._search.asked_by(asker), self._reads)

    async def messages(self, channel: Channel, query: MessageQuery) -> list[Message]:
        """Return the page of messages."""
        return await self._shared(self._search.messages, channel, query)

    async def page_of_messages(self, channel: Channel, query: MessageQuery) -> Page[Message]:
        """Return the page of messages, and whether there is more on either side of it."""
        return await self._shared(self._search.page_of_messages, channel, query)

    async def total_count(self, channel: Channel, query: MessageQuery) -> int:
        """Return how many messages match, or how many groups they make."""
        return await self._shared(self._search.total_count, channel, query)

    async def check_cursors(self, channel: Channel, query: MessageQuery) -> None:
        """Return if the channel has the messages that the query's cursors name."""
        await self._search.check_cursors(channel, query)

    async def groups(self, channel: Channel, query: MessageQuery) -> list[GroupRow]:
        """Return the page of groups."""
        return await self._shared(self._search.groups, channel, query)

    async def page_of_groups(self, channel: Channel, query: MessageQuery) -> Page[GroupRow]:
        """Return the page of groups, and whether there is more on either side of it."""
        return await self._shared(self._search.page_of_groups, channel, query)

    async def group_messages(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], limit: int
    ) -> list[list[Message]]:
        """Return the first messages of each of several groups."""
        return await self._shared(self._search.group_messages, channel, query, tuple(keys), limit)

    async def aggregate(
        self,
        channel: Channel,
        query: MessageQuery,
        field: FieldPath,
        functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> AggregateRow:
        """Return what a field comes to over all messages that match."""
        wanted = frozenset(functions)
        return await self._shared(self._search.aggregate, channel, query, field, wanted)

    async def group_aggregates(
        self,
        channel: Channel,
        query: MessageQuery,
        keys: Sequence[bytes],
        field: FieldPath,
        functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> list[AggregateRow]:
        """Return what a field comes to over each of several groups."""
        return await self._shared(
            self._search.group_aggregates,
            channel,
            query,
            tuple(keys),
            field,
            frozenset(functions),
        )

    async def _shared(self, read: Callable[..., Awaitable[Found]], *asked: Hashable) -> Found:
        key = (read.__name__, *asked)
        running = self._reads.get(key)
        if running is None:
            running = self._reads[key] = _Read()
            # Nobody else waits for this one, so that it needs no task of its own.
            return await self._run(key, running, read, asked)
        first = running.next is None
        if running.next is None:
            running.next = asyncio.create_task(self._run_next(key, running, read, asked))
            # Whoever waited for it may be gone: no warning about that.
            running.next.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            # Shielded: whoever gives up must not take it from the others.
            found: Found = await asyncio.shield(running.next)
        except Exception:
            if first:
                raise
            return await read(*asked)
        return found

    async def _run(
        self,
        key: Hashable,
        running: "_Read",
        read: Callable[..., Awaitable[Found]],
        asked: Sequence[Hashable],
    ) -> Found:
        try:
            return await read(*asked)
        finally:
            if running.next is None:
                del self._reads[key]
            else:
                # In its place at once, so that nobody overtakes those who wait.
                self._reads[key] = running.successor = _Read()
                running.over.set()

    async def _run_next(
        self,
        key: Hashable,
        before: "_Read",
        read: Callable[..., Awaitable[Found]],
        asked: Sequence[Hashable],
    ) -> Found:
        await before.over.wait()
        assert before.successor is not None
        return await self._run(key, before.successor, read, asked)


class _Read:
    """One under way, and the one that follows for those who asked meanwhile."""

    __slots__ = ("next", "over", "successor")

    def __init__(self) -> None:
        self.next: asyncio.Task[Any] | None = None
        self.over = asyncio.Event()
        self.successor: _Read | None = None
