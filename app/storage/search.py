"""Searching a channel: the query language, asked of Postgres.

Every method is one statement, and reads one snapshot of the channel. Two ask once more: what
finds nothing between cursors, whether the channel has them; and rare groups for their messages.
"""

import time
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg

from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.domain.results import AggregateRow, GroupRow, Page, sum_and_average
from app.errors import BadUserInput, UnknownCursor, shown
from app.storage import grouped_statements, statements
from app.storage.database import Database
from app.storage.indexes import pages
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.indexes.demand import Demand
from app.storage.rows import message_from_row
from app.storage.search_lanes import SearchLanes
from app.storage.search_queue import SearchRequest
from app.storage.statement_forms import Build, StatementForms

__all__ = ["MAX_GROUP_MESSAGES", "MessageSearch"]

MAX_GROUP_MESSAGES: Final = 10_000
"""Messages that all groups of a page may ask for together."""

_OPENING_MESSAGES: Final = 5_000
"""Of those that match, looked through for the first messages of groups before all are."""
_FAR_OFFSET: Final = 1_000
"""From here on skipping costs more than reading a page apart."""
_ALL: Final = frozenset(AggregateFunction)
_PLACES: Final = " UNION ALL ".join(
    f"SELECT id::text FROM {table} WHERE channel = $1 AND id = ANY($2::uuid[])"  # noqa: S608
    for table in ("messages", "retracted_messages", "retractions")
)

Row = TypeVar("Row")


class MessageSearch:
    """The stored messages of channels, by what they hold."""

    def __init__(
        self,
        database: Database | SearchLanes,
        request: SearchRequest | None = None,
        forms: StatementForms | None = None,
        indexes: SearchIndexes | None = None,
        demand: Demand | None = None,
    ) -> None:
        """Take the connections.

        Args:
            database: the lanes of a process, or connections to make two of.
            request: what all that is asked is a part of; None: each question is one of its own,
                of nobody in particular.
            forms: of statements that were asked before; None: there are none yet.
            indexes: known to be there; None: those that each channel has from the start.
            demand: told of every search; None: nobody is.
        """
        self._lanes = SearchLanes.of(database)
        self._request = request
        self._forms = forms or StatementForms()
        self._indexes = indexes or SearchIndexes()
        self._demand = demand or Demand()

    def asked_by(self, asker: Hashable) -> "MessageSearch":
        """Return the same search for one request of somebody who waits in a line of their own.

        Args:
            asker: equal for all that one client asks; None: not known.
        """
        return MessageSearch(
            self._lanes, SearchRequest(asker), self._forms, self._indexes, self._demand
        )

    async def messages(self, channel: Channel, query: MessageQuery) -> list[Message]:
        """Return the query's page of messages, in its order.

        Raises:
            UnknownCursor: the channel has no stored message `after` or `before`; so does every
                method here that may be asked with cursors.
        """
        if not query.limit:
            await self.check_cursors(channel, query)
            return []
        _check_spelling(query)
        far = query.offset >= _FAR_OFFSET
        build = statements.far_messages if far else statements.messages
        served = pages.messages(channel, query, self._indexes, self._forms.rendered, build)
        rows = await self._search(channel, query, served, len, whole=False)
        if not rows:
            await self.check_cursors(channel, query)
        return [message_from_row(channel, row) for row in rows]

    async def page_of_messages(self, channel: Channel, query: MessageQuery) -> Page[Message]:
        """Return the query's page of messages; it reads one more than the page has."""
        found = await self.messages(channel, replace(query, limit=query.limit + 1))
        return await self._page(channel, query, found)

    async def total_count(self, channel: Channel, query: MessageQuery) -> int:
        """Return how many messages match between the cursors, or how many groups they make."""
        if query.group_by is None:
            _check_spelling(query)
            count = statements.count_messages
        else:
            count = grouped_statements.count_groups
        bounds = (query.group_by, query.after, query.before, query.up_to)
        if not query.filters and not any(bound is not None for bound in bounds):
            # Of all of a channel: its own counters tell.
            rows = await self._fetch(count, channel, query, cost=pages.A_ROW, whole=False)
        else:
            rows = await self.scan(count, channel, query)
        total: int = rows[0]["count"]
        if not total:
            await self.check_cursors(channel, query)
        return total

    async def check_cursors(self, channel: Channel, query: MessageQuery) -> None:
        """Return if the channel has the messages that the query's cursors name.

        Raises:
            UnknownCursor: it has not; a message that was not stored is no cursor.
        """
        _check_spelling(query)
        cursors = _cursors(query)
        if cursors:
            ids = [UUID(cursor) for cursor in cursors.values()]
            rows = await self._ask(channel, pages.A_ROW, _PLACES, channel.key, ids, whole=False)
            known = {row["id"] for row in rows}
            for name, cursor in cursors.items():
                if str(UUID(cursor)) not in known:
                    raise _unknown(name, cursor)

    async def sequences(
        self, channel: Channel, query: MessageQuery, after: int, limit: int
    ) -> list[int]:
        """Return the places of the first messages that match, in publish order.

        Args:
            channel: whose.
            query: its filters and `up_to`.
            after: a sequence, exclusive; 0: from the first message on.
            limit: at the most; fewer mean that there are no more.

        Raises:
            BadUserInput: it would read more messages than a search may.
        """
        rows = await self.scan(statements.sequences, channel, query, after, limit, noted=False)
        return [row["sequence"] for row in rows]

    async def groups(self, channel: Channel, query: MessageQuery) -> list[GroupRow]:
        """Return the query's page of groups, in its order; `group_by` must be set."""
        if not query.limit:
            return []
        rows = await self.scan(grouped_statements.groups, channel, query)
        return [GroupRow(row["key"], row["count"]) for row in rows]

    async def page_of_groups(self, channel: Channel, query: MessageQuery) -> Page[GroupRow]:
        """Return the query's page of groups; it reads one more than the page has."""
        found = await self.groups(channel, replace(query, limit=query.limit + 1))
        return await self._page(channel, query, found)

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
                f"{len(keys)} groups of up to {limit} messages are requested, at most "
                f"{MAX_GROUP_MESSAGES} messages in total are allowed; lower one of the limits"
            )
        if not (keys and limit):
            return [[] for _ in keys]
        build, asked = grouped_statements.group_messages, list(keys)
        # What matches first has all that is wanted of a group that is not rare.
        page = replace(query, group_by=None, sort_field=None, offset=0, limit=_OPENING_MESSAGES)
        further = asked, limit, _OPENING_MESSAGES
        rows = await self.scan(build, channel, query, *further, cost=page, noted=False)
        found = _by_group(channel, asked, rows)
        short = [place for place, members in enumerate(found) if len(members) < limit]
        if short and not (rows and rows[0]["whole"]):
            rare = [asked[place] for place in short]
            rows = await self.scan(build, channel, query, rare, limit, noted=False)
            for place, members in zip(short, _by_group(channel, rare, rows), strict=True):
                found[place] = members
        return found

    async def aggregate(
        self,
        channel: Channel,
        query: MessageQuery,
        field: FieldPath,
        functions: Collection[AggregateFunction] = _ALL,
    ) -> AggregateRow:
        """Return what a field comes to over all messages that match, whatever the page.

        Args:
            channel: whose.
            query: its filters and cursors.
            field: any.
            functions: what is wanted; of the row, the rest is as for no value at all.
        """
        _check_spelling(query)
        # A count is cheap beside the rest, and tells whether anything was found.
        wanted = frozenset(functions) | {AggregateFunction.COUNT}
        rows = await self.scan(grouped_statements.aggregate, channel, query, field, wanted)
        if not rows[0]["count"]:
            await self.check_cursors(channel, query)
        return _aggregate(rows[0])

    async def group_aggregates(
        self,
        channel: Channel,
        query: MessageQuery,
        keys: Sequence[bytes],
        field: FieldPath,
        functions: Collection[AggregateFunction] = _ALL,
    ) -> list[AggregateRow]:
        """Return what `aggregate` does for each of several groups, in the order of `keys`."""
        found = [AggregateRow()] * len(keys)
        if keys:
            build = grouped_statements.group_aggregates
            wanted = frozenset(functions)
            asked = (list(keys), field, wanted)
            for row in await self.scan(build, channel, query, *asked, noted=False):
                found[row["group"] - 1] = _aggregate(row)
        return found

    async def scan(
        self,
        build: Build,
        channel: Channel,
        query: MessageQuery,
        *further: Any,
        cost: MessageQuery | None = None,
        noted: bool = True,
        dated: bool = False,
    ) -> list[asyncpg.Record]:
        """Return the rows of a statement that looks at messages that match.

        Args:
            build: makes the statement of the channel, the query and what is further.
            channel: where.
            query: which messages.
            further: as `StatementForms.rendered` takes it.
            cost: a page that costs as much; None: all that match are looked at.
            noted: whether it tells which index would help: then each row has a `count` of some
                of the messages.
            dated: adds `head` and `removed`, the channel's in the same snapshot, to each row;
                where there is none, one comes that is not `found`.
        """
        served = pages.scan(channel, query, self._indexes, self._forms.rendered, build, *further)
        if dated:
            served = _dated(served, channel)

        def matched(rows: list[asyncpg.Record]) -> int:
            return sum(row["count"] for row in rows)

        noting = matched if noted else None
        return await self._search(channel, cost or query, served, noting, whole=cost is None)

    async def _page(self, channel: Channel, query: MessageQuery, found: list[Row]) -> Page[Row]:
        rows = found[: query.limit]
        return Page(
            rows,
            has_next=len(found) > query.limit,
            has_previous=await self._has_previous(channel, query, bool(found)),
        )

    async def _has_previous(self, channel: Channel, query: MessageQuery, found: bool) -> bool:
        one = replace(query, group_by=None, sort_field=None, offset=0, limit=1)
        if query.offset:
            if found:
                return True
            # Where the page is empty, all there is may have been skipped.
            if await self._fetch(statements.first, channel, query, cost=one, whole=False):
                return True
        if (query.before if query.is_descending else query.after) is None:
            return False
        return bool(await self._fetch(statements.preceding, channel, query, cost=one, whole=False))

    async def _search(
        self,
        channel: Channel,
        query: MessageQuery,
        served: pages.Served,
        matched: Callable[[list[asyncpg.Record]], int] | None,
        *,
        whole: bool = True,
    ) -> list[asyncpg.Record]:
        """Ask, and note what it took from the moment that it was its turn."""
        begun = 0.0

        def begin() -> None:
            nonlocal begun
            begun = time.perf_counter()

        if served.cost is not None:
            query, whole = served.cost, False
        sql, parameters = served.sql, served.parameters
        rows = await self._ask(channel, query, sql, *parameters, whole=whole, on_send=begin)
        seconds = time.perf_counter() - begun
        if matched is not None:
            self._demand.note(
                channel, served.shape, served.index, seconds=seconds, matched=matched(rows)
            )
        return rows

    async def _fetch(
        self,
        build: Build,
        channel: Channel,
        query: MessageQuery,
        *further: Any,
        cost: MessageQuery | None = None,
        whole: bool = True,
    ) -> list[asyncpg.Record]:
        """Ask what `build` makes of the query; `cost` is what it costs as much as."""
        sql, parameters = self._forms.rendered(build, channel, query, *further)
        return await self._ask(channel, cost or query, sql, *parameters, whole=whole)

    async def _ask(
        self,
        channel: Channel,
        query: MessageQuery,
        sql: str,
        *parameters: Any,
        whole: bool,
        on_send: Callable[[], None] = lambda: None,
    ) -> list[asyncpg.Record]:
        request = self._request or SearchRequest()
        return await self._lanes.fetch(
            request, channel, query, sql, *parameters, whole=whole, on_send=on_send
        )


def _dated(served: pages.Served, channel: Channel) -> pages.Served:
    parameters = (*served.parameters, channel.key)
    sql = f"""
        SELECT coalesce(c.head, 0) AS head, coalesce(c.removed, 0) AS removed, f.*
        FROM (SELECT 1) AS one
        LEFT JOIN channels AS c ON c.channel = ${len(parameters)}
        LEFT JOIN (SELECT true AS found, s.* FROM ({served.sql}) AS s) AS f ON true
    """  # noqa: S608  it is composed of our own statements; values are bound
    return replace(served, sql=sql, parameters=parameters)


def _by_group(
    channel: Channel, keys: Sequence[bytes], rows: Iterable[asyncpg.Record]
) -> list[list[Message]]:
    found: list[list[Message]] = [[] for _ in keys]
    for row in rows:
        found[row["group"] - 1].append(message_from_row(channel, row))
    return found


def _cursors(query: MessageQuery) -> dict[str, str]:
    named = {"query.after": query.after, "query.before": query.before}
    return {name: cursor for name, cursor in named.items() if cursor is not None}


def _check_spelling(query: MessageQuery) -> None:
    """Return if the cursors can be ids at all: to Postgres a bad one is an error."""
    for name, cursor in _cursors(query).items():
        try:
            UUID(cursor)
        except ValueError:
            raise _unknown(name, cursor) from None


def _unknown(name: str, cursor: str) -> UnknownCursor:
    return UnknownCursor(
        f"{name} is {shown(cursor)}; expected the id of a stored message of this channel"
    )


def _aggregate(row: asyncpg.Record) -> AggregateRow:
    least, most = row.get("min"), row.get("max")
    total, average = sum_and_average(row.get("sum") or 0, row.get("numbers", 0))
    return AggregateRow(
        count=row.get("count", 0),
        distinct=row.get("distinct", 0),
        min_json=least[0] if least else None,
        max_json=most[0] if most else None,
        sum=total,
        avg=average,
    )
