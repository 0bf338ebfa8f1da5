"""Searching a channel: the query language, asked of Postgres.

Every method is one statement, and reads one snapshot of the channel.
"""

from collections.abc import Sequence
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

__all__ = ["MAX_GROUP_MESSAGES", "AggregateRow", "GroupRow", "MessageSearch"]

MAX_GROUP_MESSAGES: Final = 10_000
"""Messages that all groups of a page may ask for together."""


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

    def __init__(self, database: Database) -> None:
        self._database = database

    async def messages(self, channel: Channel, query: MessageQuery) -> list[Message]:
        """Return the query's page of messages, in its order."""
        if not query.limit:
            return []
        rows = await self._fetch(statements.messages(channel, query))
        return [message_from_row(channel, row) for row in rows]

    async def total_count(self, channel: Channel, query: MessageQuery) -> int:
        """Return how many messages match, or how many groups they make with `group_by`."""
        count = statements.count_groups if query.group_by else statements.count_messages
        rows = await self._fetch(count(channel, query))
        total: int = rows[0]["count"]
        return total

    async def groups(self, channel: Channel, query: MessageQuery) -> list[GroupRow]:
        """Return the query's page of groups, in its order; `group_by` must be set."""
        if not query.limit:
            return []
        rows = await self._fetch(statements.groups(channel, query))
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
            for row in await self._fetch(statement):
                found[row["group"] - 1].append(message_from_row(channel, row))
        return found

    async def aggregate(
        self, channel: Channel, query: MessageQuery, field: FieldPath
    ) -> AggregateRow:
        """Return what `field` comes to over all messages that match, whatever the page."""
        rows = await self._fetch(statements.aggregate(channel, query, field))
        return _aggregate(rows[0])

    async def group_aggregates(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], field: FieldPath
    ) -> list[AggregateRow]:
        """Return what `field` comes to over each of several groups, in the order of `keys`."""
        found = [AggregateRow()] * len(keys)
        if keys:
            for row in await self._fetch(statements.group_aggregates(channel, query, keys, field)):
                found[row["group"] - 1] = _aggregate(row)
        return found

    async def _fetch(self, statement: Select[Any]) -> list[asyncpg.Record]:
        sql, parameters = statements.rendered(statement)
        return await self._database.fetch(sql, *parameters)


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
