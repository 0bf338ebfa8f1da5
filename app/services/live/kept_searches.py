"""Searches that a kept result answers: what reads much is read once, and then kept up to date.

A count, groups or an aggregate of a long channel is a scan of it. The first question reads it
into a `KeptResult`, which lives on for a while: the next one costs a look at the channel's head.
Where somebody listens to the same query, the result is there already.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from typing import Final, TypeAlias, TypeVar

from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import AggregateFunction, CompiledFilters, FieldPath, MessageQuery
from app.domain.query.compiled_filters import equality_of
from app.domain.results import AggregateRow, GroupRow, Page
from app.services.live.results import LiveResults
from app.services.live.shared_result import SharedResult
from app.services.searching import ALL_FUNCTIONS, Searches, Searching

__all__ = ["KeptSearches"]

_LONG: Final = 20_000
"""Messages of a channel; a shorter one is read in some milliseconds."""
_KEPT_SECONDS: Final = 60.0
"""After the last question."""
_KEPT_MAX: Final = 200
"""Results that are kept because they were asked for; the least recently asked one goes."""
_BEHIND_SECONDS: Final = 0.05
"""How long the feed is waited for before the table is asked."""
_SLOW_SECONDS: Final = 0.02
"""A search for one value of a field is kept once it has taken so long: else an index serves it."""
_SLOW_MAX: Final = 1_000
"""Questions that are known to be slow; the least recently slow one is forgotten."""
_FILTER_BYTES_MAX: Final = 64 * 1024
"""Memory of a query's filters; one with more is searched for each time."""

_Place: TypeAlias = tuple[Channel, MessageQuery]

Found = TypeVar("Found")


class _Holds:
    """Results that are held because somebody asked for them a while ago."""

    def __init__(self) -> None:
        self._held: OrderedDict[_Place, tuple[SharedResult, asyncio.TimerHandle]] = OrderedDict()
        self._slow: OrderedDict[_Place, None] = OrderedDict()

    def hold(self, place: _Place, result: SharedResult) -> None:
        """Hold a result for another while."""
        result.hold()  # first: it may be the one that is let go
        self._let_go(place)
        timer = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._let_go, place)
        self._held[place] = result, timer
        if len(self._held) > _KEPT_MAX:
            self._let_go(next(iter(self._held)))

    def is_slow(self, place: _Place) -> bool:
        """Return whether a question is known to be slow."""
        return place in self._slow

    def note_slow(self, place: _Place) -> None:
        """Know from now on that a question is slow."""
        self._slow[place] = None
        self._slow.move_to_end(place)
        if len(self._slow) > _SLOW_MAX:
            self._slow.popitem(last=False)

    def close(self) -> None:
        """Let go of all. Idempotent."""
        for place in tuple(self._held):
            self._let_go(place)

    def _let_go(self, place: _Place) -> None:
        if (held := self._held.pop(place, None)) is not None:
            result, timer = held
            timer.cancel()
            result.release()


class KeptSearches:
    """A search whose long scans are kept results; all else it leaves to another."""

    def __init__(self, search: Searches, live: LiveResults, holds: _Holds | None = None) -> None:
        """Take the parts.

        Args:
            search: answers for what is not kept.
            live: has the results.
            holds: of all that share these parts; None: there are none yet.
        """
        self._search = search
        self._live = live
        self._holds = holds or _Holds()

    def asked_by(self, asker: Hashable) -> "KeptSearches":
        """Return the same search for one request of an asker: see `Searches`."""
        return KeptSearches(self._search.asked_by(asker), self._live, self._holds)

    def close(self) -> None:
        """Keep nothing any more. Idempotent."""
        self._holds.close()

    # What a search has: `app.services.searching.Searching` says what each returns.

    async def messages(self, channel: Channel, query: MessageQuery) -> list[Message]:
        return await self._search.messages(channel, query)

    async def page_of_messages(self, channel: Channel, query: MessageQuery) -> Page[Message]:
        return await self._search.page_of_messages(channel, query)

    async def total_count(self, channel: Channel, query: MessageQuery) -> int:
        if query.group_by is None and not query.filters:
            return await self._search.total_count(channel, query)  # it reads no message
        return await self._found(channel, query, lambda search: search.total_count(channel, query))

    async def check_cursors(self, channel: Channel, query: MessageQuery) -> None:
        await self._search.check_cursors(channel, query)

    async def groups(self, channel: Channel, query: MessageQuery) -> list[GroupRow]:
        return await self._found(channel, query, lambda search: search.groups(channel, query))

    async def page_of_groups(self, channel: Channel, query: MessageQuery) -> Page[GroupRow]:
        return await self._found(
            channel, query, lambda search: search.page_of_groups(channel, query)
        )

    async def group_messages(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], limit: int
    ) -> list[list[Message]]:
        return await self._search.group_messages(channel, query, keys, limit)

    async def aggregate(
        self,
        channel: Channel,
        query: MessageQuery,
        field: FieldPath,
        functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> AggregateRow:
        return await self._found(
            channel, query, lambda search: search.aggregate(channel, query, field, functions)
        )

    async def group_aggregates(
        self,
        channel: Channel,
        query: MessageQuery,
        keys: Sequence[bytes],
        field: FieldPath,
        functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> list[AggregateRow]:
        return await self._found(
            channel,
            query,
            lambda search: search.group_aggregates(channel, query, keys, field, functions),
        )

    async def _found(
        self,
        channel: Channel,
        query: MessageQuery,
        ask: Callable[[Searching], Awaitable[Found]],
    ) -> Found:
        answering = await self._answering(channel, query)
        if answering is not self._search:
            return await ask(answering)
        began = time.perf_counter()
        found = await ask(answering)
        if time.perf_counter() - began > _SLOW_SECONDS:
            self._holds.note_slow((channel, query))
        return found

    async def _answering(self, channel: Channel, query: MessageQuery) -> Searching:
        """Return who answers, from no older a state than this moment's."""
        result = await self._worth_keeping(channel, query)
        if result is None:
            return self._search
        results = self._live.channel(channel)
        result.hold()
        try:
            await results.open()
            self._holds.hold((channel, query), result)
            if await results.reach((await results.head()).sequence, _BEHIND_SECONDS):
                result.count_memory()  # of what was read for the questions before
                return result.kept
        finally:
            result.release()
        return self._search

    async def _worth_keeping(self, channel: Channel, query: MessageQuery) -> SharedResult | None:
        """Return a query's result if there is one already, or one is worth its memory."""
        if query.after is not None or query.before is not None:
            return None
        result = self._live.find(channel, query)
        if result is not None:
            return result if result.filters.light else None
        if equality_of(query.filters) is not None and not self._holds.is_slow((channel, query)):
            return None
        head = await self._live.head(channel)
        if head.sequence - head.removed < _LONG:
            return None
        filters = CompiledFilters(query.filters)
        if not filters.light or filters.held_bytes > _FILTER_BYTES_MAX:
            return None
        return self._live.channel(channel).result(query, filters)
