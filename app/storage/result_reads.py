"""What results that are kept begin with: read as of a place in the channel's order.

No message after a head that is known is looked at. What was retracted meanwhile is missing all
the same, so each read tells of which head the retractions are.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

import asyncpg

from app.domain.channel import Channel
from app.domain.json_value import JsonValue, decode_json
from app.domain.message import Head, Message
from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.domain.query.equality import json_key
from app.domain.results import FoundGroup, Tally
from app.storage import grouped_statements, statements
from app.storage.database import Database
from app.storage.search import MessageSearch
from app.storage.statement_forms import Build
from app.storage.string_order import orders_by_code_point

__all__ = ["Dated", "ResultReads"]

Value = TypeVar("Value")

_TRIES: Final = 3
_TALLIED: Final = frozenset(AggregateFunction) - {AggregateFunction.DISTINCT}


@dataclass(frozen=True, slots=True)
class Dated(Generic[Value]):
    """What was read."""

    value: Value
    gone_as_of: int
    """What was retracted up to this sequence is missing in it, and nothing that was later."""


class ResultReads:
    """Reads counts, pages, groups and aggregates up to a channel's head."""

    def __init__(self, search: MessageSearch, *, orders_by_code_point: bool) -> None:
        self._search = search
        self.orders_by_code_point = orders_by_code_point
        """Whether the database compares the strings in JSON as Python does."""

    @classmethod
    async def of(cls, search: MessageSearch, database: Database) -> Self:
        """Return the reads of a database, which is asked how it orders strings.

        Args:
            search: how it is read: for all who listen, so of nobody in particular.
            database: any connections to it.
        """
        in_order = await orders_by_code_point(database.fetch)
        return cls(search, orders_by_code_point=in_order)

    async def count(self, channel: Channel, query: MessageQuery, head: Head) -> Dated[int]:
        """Return how many messages match."""
        if not query.filters:
            return Dated(head.sequence - head.removed, head.sequence)
        rows = await self._scan(statements.count_messages, channel, _up_to(query, head), noted=True)
        return Dated(rows.rows[0]["count"], rows.head)

    async def first(
        self, channel: Channel, query: MessageQuery, number: int, head: Head
    ) -> list[Message]:
        """Return the first messages in the query's order."""
        wanted = replace(_up_to(query, head), offset=0, limit=number)
        return await self._search.messages(channel, wanted)

    async def groups(
        self,
        channel: Channel,
        query: MessageQuery,
        tallied: tuple[FieldPath, bool] | None,
        head: Head,
        most: tuple[int, int],
    ) -> Dated[list[FoundGroup]] | None:
        """Return all groups.

        Args:
            channel: where.
            query: what.
            tallied: a field whose values are tallied, and whether different ones are counted.
            head: no message after it is looked at.
            most: groups, and different values over all groups; None is returned beyond, and
                where a key or value has more than 500 bytes of JSON text.
        """
        query = _up_to(query, head)
        field, counts_distinct = tallied or (None, False)
        asked = grouped_statements.all_groups, field, most[0] + 1
        found, different = await self._beside(
            channel, query, asked, most[0], field if counts_distinct else None, most[1]
        )
        if found is None:
            return None
        by_key: dict[Hashable, list[tuple[JsonValue, int]]] = defaultdict(list)
        for row in different:
            by_key[json_key(decode_json(row["key"]))].append(_counted(row))

        def tallies(row: asyncpg.Record) -> dict[FieldPath, Tally]:
            if field is None:
                return {}
            values = by_key[json_key(decode_json(row["key"]))] if counts_distinct else None
            return {field: _tally(row, values)}

        return Dated([_group(row, tallies(row)) for row in found.rows], found.head)

    async def tally(
        self,
        channel: Channel,
        query: MessageQuery,
        field: FieldPath,
        distinct: bool,
        head: Head,
        most: int,
    ) -> Dated[Tally] | None:
        """Return what a field comes to; None: it has more than `most` different values."""
        asked = grouped_statements.aggregate, field, _TALLIED
        found, different = await self._beside(
            channel, _up_to(query, head), asked, 1, field if distinct else None, most
        )
        if found is None:
            return None
        values = list(map(_counted, different)) if distinct else None
        return Dated(_tally(found.rows[0], values), found.head)

    async def _beside(
        self,
        channel: Channel,
        query: MessageQuery,
        asked: tuple[Build, *tuple[Any, ...]],
        most_rows: int,
        field: FieldPath | None,
        most_values: int,
    ) -> tuple["_Rows | None", Sequence[asyncpg.Record]]:
        """Return what was asked, and the different values of a field beside it.

        Returns:
            None where they are more than allowed or one is large, or where something was
            retracted between the two in each of a few tries.
        """
        build, *further = asked
        for _ in range(_TRIES):
            found = await self._scan(build, channel, query, *further)
            if len(found.rows) > most_rows or any(map(_is_large, found.rows)):
                break
            if field is None:
                return found, ()
            values = grouped_statements.values
            different = await self._scan(values, channel, query, field, most_values + 1)
            if len(different.rows) > most_values or any(map(_is_large, different.rows)):
                break
            if different.removed == found.removed:
                return found, different.rows
        return None, ()

    async def _scan(
        self,
        build: Build,
        channel: Channel,
        query: MessageQuery,
        *further: Any,
        noted: bool = False,
    ) -> "_Rows":
        rows = await self._search.scan(build, channel, query, *further, noted=noted, dated=True)
        first = rows[0]
        return _Rows([row for row in rows if row["found"]], first["head"], first["removed"])


class _Rows(NamedTuple):
    """What one snapshot has."""

    rows: Sequence[asyncpg.Record]
    head: int
    removed: int
    """The channel's."""


def _is_large(row: asyncpg.Record) -> bool:
    """Return whether a key, value or extreme was too large to be read."""
    if row.get("count") and (row["min"] is None or row["max"] is None):
        return True
    return any(row.get(name, b"") is None for name in ("key", "value"))


def _up_to(query: MessageQuery, head: Head) -> MessageQuery:
    return replace(query, up_to=head.sequence)


def _group(row: asyncpg.Record, tallies: dict[FieldPath, Tally]) -> FoundGroup:
    return FoundGroup(decode_json(row["key"]), row["messages"], row["first"], tallies)


def _counted(row: asyncpg.Record) -> tuple[JsonValue, int]:
    return decode_json(row["value"]), row["messages"]


def _tally(row: asyncpg.Record, distinct: list[tuple[JsonValue, int]] | None) -> Tally:
    extremes = None
    if row["count"]:
        extremes = decode_json(row["min"][0]), decode_json(row["max"][0])
    return Tally.of(row["count"], row["numbers"], row["sum"] or Decimal(0), extremes, distinct)
