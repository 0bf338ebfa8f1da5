"""What one response needs read: each part once, side by side.

It makes the reads that the engine's resolvers would make for the same selection. Where one of
them fails, the engine makes the response, from what was read here: several errors, and null
for some fields only, are its business.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from app.domain.channel import Channel
from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.domain.results import AggregateRow, Page
from app.engine.replayed import Replayed
from app.errors import Unavailable
from app.services.searching import Searching

__all__ = ["Inner", "Reading", "ReadingFailedError", "Scope", "Wanted"]

Inner: TypeAlias = Mapping[str, Any]
"""The arguments of the fields inside a result, checked, by their places in the response."""
_Of: TypeAlias = Sequence[tuple[str, frozenset[AggregateFunction]]]
"""Aggregates: where their field is said, and what of it is selected."""


class Scope(Protocol):
    """One query of one channel, and who answers it."""

    @property
    def search(self) -> Searching:
        """Who answers."""

    @property
    def channel(self) -> Channel:
        """Where."""

    @property
    def query(self) -> MessageQuery:
        """What is asked."""

    @property
    def on_unavailable(self) -> Callable[[], None]:
        """Told of a read that failed because the database is away."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a selection needs; compiled once for a document."""

    rows: bool = False
    """The page of messages, where the query has no groups."""
    groups: bool = False
    """The page of groups, where it has."""
    neighbours: bool = False
    """Whether the page must know what is on either side of it."""
    total_count: bool = False
    aggregates: _Of = ()
    group_messages: Sequence[str] = ()
    """Where the limits are said."""
    group_aggregates: _Of = ()


class ReadingFailedError(Exception):
    """A part could not be read; `search` answers with what was read, and what failed."""

    def __init__(self, search: Replayed) -> None:
        super().__init__("failed to read a part of a result")
        self.search = search


class Reading:
    """The reads of one response."""

    __slots__ = ("_failed", "_found", "_scope", "grouped", "rows")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._found: dict[Hashable, Any] = {}
        self._failed = False
        self.grouped = scope.query.group_by is not None
        self.rows: Sequence[Any] = ()
        """Of the page: messages, or groups."""

    @property
    def page(self) -> Page[Any]:
        """The page with its neighbours."""
        found: Page[Any] = self._found[self._page_name(neighbours=True)]
        return found

    @property
    def total_count(self) -> int:
        """How many messages match, or groups there are."""
        count: int = self._found["total_count"]
        return count

    def aggregate(self, field: FieldPath) -> AggregateRow:
        """What a field comes to over all messages that match."""
        row: AggregateRow = self._found["aggregate", field]
        return row

    def of_groups(self, read: str, argument: Hashable) -> Sequence[Any]:
        """What was read for each group: `group_messages` or `group_aggregates`."""
        found: Sequence[Any] = self._found[read, argument]
        return found

    async def read(self, wanted: Wanted, inner: Inner) -> None:
        """Read all that is wanted.

        Raises:
            ReadingFailedError: some of it could not be read.
        """
        search, channel, query = self._scope.search, self._scope.channel, self._scope.query
        reads = []
        if wanted.neighbours or (wanted.groups if self.grouped else wanted.rows):
            reads.append(self._read_page(wanted, inner))
        if wanted.total_count:
            reads.append(self._note("total_count", search.total_count, channel, query))
        reads += [
            self._note(("aggregate", field), search.aggregate, channel, query, field, functions)
            for field, functions in _united(wanted.aggregates, inner).items()
        ]
        # One alone needs no task.
        if len(reads) == 1:
            await reads[0]
        else:
            await asyncio.gather(*reads)
        if self._failed:
            raise ReadingFailedError(Replayed(search, self._found))

    async def _read_page(self, wanted: Wanted, inner: Inner) -> None:
        search, channel, query = self._scope.search, self._scope.channel, self._scope.query
        name = self._page_name(wanted.neighbours)
        found = await self._note(name, getattr(search, name), channel, query)
        if found is None:
            return
        self.rows = found.rows if wanted.neighbours else found
        if not (self.grouped and wanted.groups and self.rows):
            return
        keys = [one.key_json for one in self.rows]
        reads = [
            self._note(
                ("group_messages", limit), search.group_messages, channel, query, keys, limit
            )
            for limit in dict.fromkeys(inner[at] for at in wanted.group_messages)
        ]
        reads += [
            self._note(
                ("group_aggregates", field),
                search.group_aggregates,
                channel,
                query,
                keys,
                field,
                functions,
            )
            for field, functions in _united(wanted.group_aggregates, inner).items()
        ]
        if reads:
            await asyncio.gather(*reads)

    def _page_name(self, neighbours: bool) -> str:
        name = "groups" if self.grouped else "messages"
        return f"page_of_{name}" if neighbours else name

    async def _note(
        self, key: Hashable, read: Callable[..., Awaitable[Any]], *arguments: Any
    ) -> Any:
        try:
            found = self._found[key] = await read(*arguments)
        except Exception as error:
            self._found[key] = error
            self._failed = True
            if isinstance(error, Unavailable):
                self._scope.on_unavailable()
            return None
        return found


def _united(of: _Of, inner: Inner) -> dict[FieldPath, frozenset[AggregateFunction]]:
    """Return all that is selected of each field; nothing is read for one without any."""
    united: dict[FieldPath, frozenset[AggregateFunction]] = {}
    for at, functions in of:
        if functions:
            united[inner[at]] = united.get(inner[at], frozenset()) | functions
    return united
