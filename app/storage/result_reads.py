"""What results that are kept begin with: read as of a place in the channel's order."""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, Self

import asyncpg

from app.domain.channel import Channel
from app.domain.json_value import JsonValue, decode_json
from app.domain.message import Head, Message
from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.domain.query.equality import json_key
from app.domain.results import FoundGroup, Tally
from app.storage import grouped_statements
from app.storage.database import Database
from app.storage.search import MessageSearch
from app.storage.statement_forms import Build
from app.storage.string_order import orders_by_code_point

__all__ = ["ResultReads"]

_TALLIED: Final = frozenset(AggregateFunction) - {AggregateFunction.DISTINCT}


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

    async def count(self, channel: Channel, query: MessageQuery, head: Head) -> int:
        """Return how many messages match."""
        if not query.filters:
            return head.sequence - head.removed
        return await self._search.total_count(channel, _up_to(query, head))

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
    ) -> list[FoundGroup] | None:
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
        rows = await self._scan(grouped_statements.all_groups, channel, query, field, most[0] + 1)
        if len(rows) > most[0] or any(map(_is_large, rows)):
            return None
        if field is None:
            return [_group(row, {}) for row in rows]
        if not counts_distinct:
            return [_group(row, {field: _tally(row, None)}) for row in rows]
        different = await self._scan(grouped_statements.values, channel, query, field, most[1] + 1)
        if len(different) > most[1] or any(map(_is_large, different)):
            return None
        by_key: dict[Hashable, list[tuple[JsonValue, int]]] = defaultdict(list)
        for row in different:
            by_key[json_key(decode_json(row["key"]))].append(_counted(row))
        return [
            _group(row, {field: _tally(row, by_key[json_key(decode_json(row["key"]))])})
            for row in rows
        ]

    async def tally(
        self,
        channel: Channel,
        query: MessageQuery,
        field: FieldPath,
        distinct: bool,
        head: Head,
        most: int,
    ) -> Tally | None:
        """Return what a field comes to; None: it has more than `most` different values."""
        query = _up_to(query, head)
        (row,) = await self._scan(grouped_statements.aggregate, channel, query, field, _TALLIED)
        if not distinct:
            return _tally(row, None)
        different = await self._scan(grouped_statements.values, channel, query, field, most + 1)
        if len(different) > most or any(map(_is_large, different)):
            return None
        return _tally(row, list(map(_counted, different)))

    async def _scan(
        self,
        build: Build,
        channel: Channel,
        query: MessageQuery,
        *further: Any,
    ) -> list[asyncpg.Record]:
        return await self._search.scan(build, channel, query, *further, noted=False)


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
