"""Searching a channel: the query language, asked of Postgres.

Every method is one statement, and reads one snapshot of the channel.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import asyncpg
from sqlalchemy import Select

from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import FieldPath, MessageQuery
from app.errors import BadUserInput
from app.storage import statements
from app.storage.database import Database
from app.storage.rows import message_from_row
from app.storage.search_lanes import SearchLanes
from app.storage.search_queue import SearchRequest

__all__ = ["MAX_GROUP_MESSAGES", "AggregateRow", "GroupRow", "MessageSearch"]

MAX_GROUP_MESSAGES: Final = 10_000
"""Messages that all groups of a page may ask for together."""

_A_ROW: Final = MessageQuery(limit=1)
"""What costs as much as reading one row."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The messages that have one value in the field they are grouped by."""

    key_json: bytes
    """The value, as its first message writes it; `null` also for a missing one."""
    count: int


@dataclass(frozen=True, slots=True)
class AggregateRow:
    """What the values of one field come to."""

    count: int = 0
    """Values that are present and not null."""
    min_json: bytes | None = None
    """The smallest of them in jsonb's order; None: there is none."""
    max_json: bytes | None = None
    sum: float | None = None
    """Of the numbers among them; None: there is none, or it does not fit a double."""
    avg: float | None = None


class MessageSearch:
    """The stored messages of channels, by what they hold."""

    def __init__(self, database: Database | SearchLanes, asker: Hashable = None) -> None:
        """Take the connections.

        Args:
            database: the lanes of a process, or connections to make two of.
            asker: who asks by it: see `asked_by`.
        """
        lanes = database if isinstance(database, SearchLanes) else SearchLanes(database, database)
        self._lanes = lanes
        self._request = SearchRequest(asker)

    def asked_by(self, asker: Hashable) -> "MessageSearch":
        """Return the same search for one request of somebody who waits in a line of their own.

        Args:
            asker: equal for all that one client asks; None: not known.
        """
        return MessageSearch(self._lanes, asker)

    async def messages(self, channel: Channel, query: MessageQuery) -> list[Message]:
        """Return the query's page of messages, in its order."""
        if not query.limit:
            return []
        statement = statements.messages(channel, query)
        rows = await self._fetch(channel, query, statement, whole=False)
        return [message_from_row(channel, row) for row in rows]

    async def total_count(self, channel: Channel, query: MessageQuery) -> int:
        """Return how many messages match, or how many groups they make with `group_by`."""
        if query.group_by is None and not query.filters:
            # The channel's own counters: no message is read.
            statement = statements.count_messages(channel, query)
            rows = await self._fetch(channel, _A_ROW, statement, whole=False)
        else:
            count = statements.count_groups if query.group_by else statements.count_messages
            rows = await self._fetch(channel, query, count(channel, query))
        total: int = rows[0]["count"]
        return total

    async def groups(self, channel: Channel, query: MessageQuery) -> list[GroupRow]:
        """Return the query's page of groups, in its order; `group_by` must be set."""
        if not query.limit:
            return []
        rows = await self._fetch(channel, query, statements.groups(channel, query))
        return [GroupRow(row["key"], row["count"]) for row in rows]

    async def group_messages(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], limit: int
    ) -> list[list[Message]]:
        """Return the first messages of each of several groups, in publish order.

        Args:
            channel: whose.
            query: with `group_by`; its page is of groups and does not matter here.
            keys: the groups' `key_json`.
            limit: messages of each group at the most.

        Returns:
            One list for each key, in the order of `keys`; empty for a key of no message.

        Raises:
            BadUserInput: keys times limit is more than 10,000.
        """
        if len(keys) * limit > MAX_GROUP_MESSAGES:
            raise BadUserInput(
                f"{len(keys)} groups of up to {limit} messages are asked for, at most "
                f"{MAX_GROUP_MESSAGES} messages together are allowed; lower one of the limits"
            )
        found: list[list[Message]] = [[] for _ in keys]
        if keys and limit:
            statement = statements.group_messages(channel, query, keys, limit)
            for row in await self._fetch(channel, query, statement):
                found[row["group"] - 1].append(message_from_row(channel, row))
        return found

    async def aggregate(
        self, channel: Channel, query: MessageQuery, field: FieldPath
    ) -> AggregateRow:
        """Return what `field` comes to over all messages that match, whatever the page."""
        rows = await self._fetch(channel, query, statements.aggregate(channel, query, field))
        return _aggregate(rows[0])

    async def group_aggregates(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], field: FieldPath
    ) -> list[AggregateRow]:
        """Return what `field` comes to over each of several groups, in the order of `keys`."""
        found = [AggregateRow()] * len(keys)
        if keys:
            statement = statements.group_aggregates(channel, query, keys, field)
            for row in await self._fetch(channel, query, statement):
                found[row["group"] - 1] = _aggregate(row)
        return found

    async def _fetch(
        self, channel: Channel, query: MessageQuery, statement: Select[Any], *, whole: bool = True
    ) -> list[asyncpg.Record]:
        sql, parameters = statements.rendered(statement)
        return await self._lanes.fetch(self._request, channel, query, sql, *parameters, whole=whole)


def _aggregate(row: asyncpg.Record) -> AggregateRow:
    total = average = None
    if row["numbers"]:
        # Exact until the end: numeric's own division rounds, and its cast to a double raises
        # an error where the result is too large for one.
        exact = Fraction(row["sum"])
        total, average = _double(exact), _double(exact / row["numbers"])
    return AggregateRow(
        count=row["count"],
        min_json=row["min"][0] if row["min"] else None,
        max_json=row["max"][0] if row["max"] else None,
        sum=total,
        avg=average,
    )


def _double(exact: Fraction) -> float | None:
    try:
        return float(exact)
    except OverflowError:
        return None
