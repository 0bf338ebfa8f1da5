"""One query's result, kept up to date: it answers as a search of the table would.

Each part that is asked for (the page, the count, the groups, the aggregate of a field) is read
once, as of a sequence of the channel, and every later message and retraction is applied to it:
what is retracted is undone by what the message was. A part that
would take too much memory, or that no state is kept of, is read whenever it is asked for.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay
from tenacity.wait import wait_random

from app.domain.channel import Channel
from app.domain.message import Head, Message
from app.domain.query import AggregateFunction, AggregateSort, FieldPath, MessageQuery
from app.domain.results import (
    AggregateRow,
    Effect,
    GroupRow,
    KeptAggregate,
    KeptCount,
    KeptGroups,
    KeptPage,
    Page,
    State,
)
from app.errors import Unavailable
from app.services.searching import ALL_FUNCTIONS, Searching
from app.storage.result_reads import Dated, ResultReads
from app.telemetry.counters import COUNTED

__all__ = ["KeptResult"]

_ROOM_MAX: Final = 2_000
"""Messages of a page that is kept, those that are skipped included."""
_GROUPS_MAX: Final = 10_000
_VALUES_MAX: Final = 50_000
"""Different values of a field, over all groups."""
_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of one part."""
_WAITING_MAX: Final = 10_000
_WAITING_BYTES_MAX: Final = 4 * 1024 * 1024
"""Messages that come while a part is read."""
_PATIENCE_SECONDS: Final = 20.0
_AGAIN_SECONDS: Final = (0.2, 1.0)
"""Between two tries of a read that was refused because too many search."""

_EXTREMES: Final = frozenset({AggregateFunction.MIN, AggregateFunction.MAX})

Kept = TypeVar("Kept", bound="State")


@dataclass(slots=True, eq=False)
class _Part:
    """A part that was asked for."""

    state: State | None = None
    """None: it is being read, or is never kept."""
    as_of: int = 0
    """The state takes in every message up to here, and all that were applied since."""
    gone_as_of: int = 0
    """It takes in the retractions up to here too."""
    reading: "asyncio.Task[None] | None" = None
    waiting: list[tuple[Message, int | None]] = field(default_factory=list)
    """What came while it was read: each message, and where it was retracted."""
    waiting_bytes: int = 0
    kept: bool = True
    """Whether there is or will be a state."""


_Load: TypeAlias = Callable[[Head], Awaitable[Dated[State] | None]]
"""Reads a state of the messages up to a head; None: it would be too large."""


class KeptResult:
    """The result of one query of one channel."""

    def __init__(
        self,
        channel: Channel,
        query: MessageQuery,
        search: Searching,
        reads: ResultReads,
        head: Callable[[], Awaitable[Head]],
        *,
        keeps: bool = True,
        turns: asyncio.Semaphore | None = None,
    ) -> None:
        """Begin with no parts.

        Args:
            channel: where.
            query: what.
            search: answers for parts that are not kept.
            reads: what the states begin with.
            head: returns the table's head, as it is after the call.
            keeps: false: nothing is kept, because filters are not asked about messages.
            turns: how many read at once for those who watch; a crowd of them takes turns
                instead of being refused. None: as many as there are.
        """
        self._channel = channel
        self._search = search
        self._reads = reads
        self._head = head
        self._turns = turns or contextlib.nullcontext()
        self._keeps = keeps and query.after is None and query.before is None
        self._parts: dict[Hashable, _Part] = {}
        self.is_watched = False
        """Whether somebody waits for every change; else a read that is refused is told at once."""

    @property
    def size(self) -> int:
        """Bytes of memory that the states take, roughly."""
        return sum(part.state.size for part in self._parts.values() if part.state is not None)

    def as_of(self, position: int) -> int:
        """Return up to which sequence the result takes in every message.

        Args:
            position: the newest sequence that was applied.
        """
        if any(part.state is None for part in self._parts.values()):
            return position
        return max(position, min((part.as_of for part in self._parts.values()), default=0))

    def stop_keeping(self) -> None:
        """Take no more memory: read every part whenever it is asked for."""
        self._keeps = False
        for part in self._parts.values():
            _give_up(part)

    def forget(self) -> None:
        """Read every part again when it is asked for next: what they were made of is gone."""
        self._parts.clear()

    def close(self) -> None:
        """End what is being read. Idempotent."""
        for part in self._parts.values():
            if part.reading is not None:
                part.reading.cancel()

    def apply(self, message: Message, gone_at: int | None = None) -> bool:
        """Take a stored message that the filters accept; return whether the result may change.

        Args:
            message: as it was stored.
            gone_at: the sequence of the retraction that takes it away; None: it comes.
        """
        changed = False
        for part in self._parts.values():
            if part.state is not None:
                changed |= self._applied(part, message, gone_at)
            elif part.reading is not None:
                _wait(part, message, gone_at)
            else:
                changed = True  # it is read whenever it is asked for
        return changed

    # What a search has: `app.storage.search.MessageSearch` says what each returns.

    async def messages(self, channel: Channel, query: MessageQuery) -> list[Message]:
        page = await self._page(query)
        if page is None:
            return await self._search.messages(channel, query)
        return page.first(query.offset + query.limit)[query.offset :]

    async def page_of_messages(self, channel: Channel, query: MessageQuery) -> Page[Message]:
        page = await self._page(query)
        if page is None:
            return await self._search.page_of_messages(channel, query)
        return _paged(page.first(query.offset + query.limit + 1), query)

    async def total_count(self, channel: Channel, query: MessageQuery) -> int:
        if query.group_by is not None:
            groups = await self._groups(query)
            if groups is not None:
                return len(groups)
            return await self._search.total_count(channel, query)

        async def load(head: Head) -> Dated[State]:
            count = await self._reads.count(channel, query, head)
            return Dated(KeptCount(count.value), count.gone_as_of)

        count = await self._state("count", load, KeptCount)
        return count.number if count else await self._search.total_count(channel, query)

    async def check_cursors(self, channel: Channel, query: MessageQuery) -> None:
        await self._search.check_cursors(channel, query)

    async def groups(self, channel: Channel, query: MessageQuery) -> list[GroupRow]:
        groups = await self._groups(query)
        if groups is None:
            return await self._search.groups(channel, query)
        return groups.page(query.offset, query.limit)

    async def page_of_groups(self, channel: Channel, query: MessageQuery) -> Page[GroupRow]:
        groups = await self._groups(query)
        if groups is None:
            return await self._search.page_of_groups(channel, query)
        return _paged(groups.page(0, query.offset + query.limit + 1), query)

    async def group_messages(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], limit: int
    ) -> list[list[Message]]:
        self._parts.setdefault("messages of groups", _Part(kept=False))
        return await self._search.group_messages(channel, query, keys, limit)

    async def aggregate(
        self,
        channel: Channel,
        query: MessageQuery,
        field: FieldPath,
        functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> AggregateRow:
        distinct = AggregateFunction.DISTINCT in functions

        async def load(head: Head) -> Dated[State] | None:
            tally = await self._reads.tally(channel, query, field, distinct, head, _VALUES_MAX)
            if tally is None:
                return None
            return Dated(KeptAggregate(field, tally.value), tally.gone_as_of)

        ordered = not _EXTREMES.isdisjoint(functions)
        key = "tally", field, distinct, ordered
        part = await self._state(key, load, KeptAggregate, not ordered)
        if part is None:
            return await self._search.aggregate(channel, query, field, functions)
        return part.tally.row

    async def group_aggregates(
        self,
        channel: Channel,
        query: MessageQuery,
        keys: Sequence[bytes],
        field: FieldPath,
        functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> list[AggregateRow]:
        distinct = AggregateFunction.DISTINCT in functions
        groups = await self._tallied(query, field, functions, distinct)
        if groups is None:
            return await self._search.group_aggregates(channel, query, keys, field, functions)
        return [groups.aggregate(key, field) for key in keys]

    async def _page(self, query: MessageQuery) -> KeptPage | None:
        page = KeptPage(query)

        async def load(head: Head) -> Dated[State]:
            page.fill(await self._reads.first(self._channel, query, page.room + 1, head))
            # A page is asked to remove what it may not have: that changes nothing.
            return Dated(page, head.sequence)

        sort = query.sort_field
        by_data = isinstance(sort, FieldPath) and sort.name == "data"
        if page.room > _ROOM_MAX:
            self._parts.setdefault("page", _Part(kept=False))
        return await self._state("page", load, KeptPage, not by_data)

    async def _groups(self, query: MessageQuery) -> KeptGroups | None:
        sort = query.sort_field
        if isinstance(sort, AggregateSort):
            distinct = sort.function is AggregateFunction.DISTINCT
            return await self._tallied(query, sort.field, {sort.function}, distinct)
        groups = KeptGroups(query, {})
        key = "groups", None
        return await self._state(key, self._loading(query, groups, None), KeptGroups, sort != "key")

    async def _tallied(
        self,
        query: MessageQuery,
        path: FieldPath,
        functions: Collection[AggregateFunction],
        distinct: bool,
    ) -> KeptGroups | None:
        """Return the groups with a field's values tallied in each."""
        sort = query.sort_field
        if isinstance(sort, AggregateSort) and (
            sort.field != path or (sort.function is AggregateFunction.DISTINCT and not distinct)
        ):
            query = replace(query, sort_field=None)  # another part has the order
        groups = KeptGroups(query, {path: distinct})
        ordered = not _EXTREMES.isdisjoint(functions)
        key = "groups", path, distinct, ordered
        load = self._loading(query, groups, (path, distinct))
        return await self._state(key, load, KeptGroups, not ordered)

    def _loading(
        self, query: MessageQuery, groups: KeptGroups, tallied: tuple[FieldPath, bool] | None
    ) -> _Load:
        async def load(head: Head) -> Dated[State] | None:
            most = _GROUPS_MAX, _VALUES_MAX
            found = await self._reads.groups(self._channel, query, tallied, head, most)
            if found is None:
                return None
            groups.fill(found.value)
            return Dated(groups, found.gone_as_of)

        return load

    async def _state(
        self, key: Hashable, load: _Load, kind: type[Kept], anywhere: bool = True
    ) -> Kept | None:
        """Return a part's state, read first where it is not here; None: it is not kept.

        Args:
            key: which part.
            load: reads it.
            kind: of the state.
            anywhere: false: only where the database orders strings as we do.
        """
        part = self._parts.get(key)
        if part is None:
            kept = self._keeps and (anywhere or self._reads.orders_by_code_point)
            part = self._parts[key] = _Part(kept=kept)
        while part.kept and part.state is None:
            if part.reading is None:
                part.reading = asyncio.create_task(self._read(part, load))
                part.reading.add_done_callback(lambda read: read.cancelled() or read.exception())
            # Shielded: whoever gives up must not take it from the others.
            await asyncio.shield(part.reading)
        assert part.state is None or isinstance(part.state, kind)
        return part.state

    async def _read(self, part: _Part, load: _Load) -> None:
        """Read a part as of the head, and apply what came meanwhile."""
        try:
            async with self._turns if self.is_watched else contextlib.nullcontext():
                head, dated = await self._loaded(load)
        finally:
            part.reading = None
            waiting, part.waiting, part.waiting_bytes = part.waiting, [], 0
        if dated is None or dated.value.size > _BYTES_MAX or not part.kept:
            part.kept = False
            return
        part.state, part.as_of, part.gone_as_of = dated.value, head.sequence, dated.gone_as_of
        for message, gone_at in waiting:
            if part.state is not None:
                self._applied(part, message, gone_at)

    async def _loaded(self, load: _Load) -> tuple[Head, Dated[State] | None]:
        """Load a state; while somebody watches, refusals because of the crowd are waited out."""
        patience = stop_after_delay(_PATIENCE_SECONDS)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_crowded),
            stop=lambda state: not self.is_watched or patience(state),
            wait=wait_random(*_AGAIN_SECONDS),
            reraise=True,
        ):
            with attempt:
                # All that was applied before this call is committed, and so up to the head.
                head = await self._head()
                COUNTED.result_reads += 1
                return head, await load(head)
        raise AssertionError("the last attempt raises")

    def _applied(self, part: _Part, message: Message, gone_at: int | None) -> bool:
        state = part.state
        assert state is not None
        assert message.sequence is not None
        if message.sequence <= part.as_of and (gone_at is None or gone_at <= part.gone_as_of):
            return False  # it was there, or gone, when the part was read
        effect = state.add(message) if gone_at is None else state.remove(message)
        if effect is Effect.LOST:
            part.state = None  # it is read when it is asked for next
        elif effect is Effect.TOO_LARGE or state.size > _BYTES_MAX:
            _give_up(part)
        return effect is not Effect.NOTHING


def _is_crowded(error: BaseException) -> bool:
    return isinstance(error, Unavailable) and error.retry_after_ms is not None


def _wait(part: _Part, message: Message, gone_at: int | None) -> None:
    part.waiting.append((message, gone_at))
    part.waiting_bytes += len(message.data_json)
    if len(part.waiting) > _WAITING_MAX or part.waiting_bytes > _WAITING_BYTES_MAX:
        _give_up(part)


def _give_up(part: _Part) -> None:
    part.kept, part.state = False, None
    part.waiting, part.waiting_bytes = [], 0


Row = TypeVar("Row")


def _paged(rows: list[Row], query: MessageQuery) -> Page[Row]:
    """Return the page within the first rows of all, which are one more than it needs."""
    end = query.offset + query.limit
    return Page(
        rows[query.offset : end],
        has_next=len(rows) > end,
        has_previous=bool(query.offset and rows),
    )
