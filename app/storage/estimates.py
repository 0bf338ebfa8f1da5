"""How many messages a search may read: told before it runs, cheaply, and never too low by much.

What is known without asking: a page in publish order reads what it skips and shows; an id is
one message. Everything else may read the channel, whose counters tell how many it has; a range
of `created` is as much of it, for `created` never runs backwards.

Postgres' own EXPLAIN was the alternative. It costs about what a small search costs, guesses
the share of rows that a filter on `data` keeps, and changes its mind with each ANALYZE: a client
could not be told a bound that holds.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Final, Protocol

from app.domain.channel import Channel
from app.domain.message import Head
from app.domain.query import Comparison, MessageQuery, Operator, conjuncts
from app.storage.database import Database

__all__ = ["Estimate", "EstimatedByPlace"]

_KEPT_SECONDS: Final = 5.0
"""How old a channel's length may be: it grows by a few thousand messages meanwhile."""
_KEPT_MAX: Final = 4096
"""Channels whose length is known; the one that was asked for longest ago goes first."""
_WORTH_LOOKING: Final = 5_000
"""Shorter channels are cheaper to read than ranges of them to look up."""

_LARGEST: Final = 2**62
"""Of a time in milliseconds that can be looked up; no message is as new."""

# Where `created` reaches a value, by halving the channel: some twenty steps in a million. Not as
# `created_bounds` does it: here a message that is gone stands for the one before it, so that a
# channel whose newest ones were deleted is not taken for a long one.
_PLACES: Final = """
    WITH RECURSIVE halved(bound, low, high) AS (
        SELECT bound, 0::bigint, $3::bigint + 1 FROM unnest($2::bigint[]) AS bound
        UNION ALL
        SELECT bound,
            CASE WHEN coalesce(message.created, 0) < bound THEN middle ELSE low END,
            CASE WHEN coalesce(message.created, 0) < bound THEN high ELSE middle END
        FROM (SELECT bound, low, high, (low + high) / 2 AS middle FROM halved
              WHERE high - low > 1) AS step
        LEFT JOIN LATERAL (
            SELECT created FROM messages
            WHERE channel = $1 AND sequence <= middle ORDER BY sequence DESC LIMIT 1
        ) AS message ON true
    )
    SELECT bound, max(low) AS before FROM halved GROUP BY bound
"""


class Estimate(Protocol):
    """Whatever tells how many messages a search may read."""

    async def __call__(self, channel: Channel, query: MessageQuery, *, whole: bool) -> int:
        """Return how many messages of the channel a statement for `query` reads at the most.

        Args:
            channel: which.
            query: its filters, order and page.
            whole: True: the statement needs all that match (a count, groups, an aggregate);
                False: it is the page of messages.

        Raises:
            Unavailable: the database is away.
        """


class EstimatedByPlace:
    """The estimate that needs no knowledge of indexes beyond those that every channel has."""

    def __init__(
        self,
        heads: Callable[[Sequence[Channel]], Awaitable[dict[Channel, Head]]],
        database: Database,
    ) -> None:
        """Take the parts.

        Args:
            heads: tells where channels' orders end.
            database: where a range of `created` is looked up, in about a millisecond.
        """
        self._heads = heads
        self._database = database
        self._known: OrderedDict[Channel, tuple[Head, float]] = OrderedDict()

    async def __call__(self, channel: Channel, query: MessageQuery, *, whole: bool) -> int:
        """Return how many messages a statement for `query` reads at the most: see `Estimate`."""
        if not whole and not query.filters and query.in_publish_order:
            return query.offset + query.limit
        # What all must hold, whatever the other filters do.
        comparisons = [one for one in conjuncts(query.filters) if isinstance(one, Comparison)]
        ids = _ids(comparisons)
        if ids is not None:
            return ids
        head = await self._head(channel)
        stored = head.sequence - head.removed
        if stored <= _WORTH_LOOKING:
            return stored
        return min(stored, await self._within(channel, comparisons, head.sequence))

    async def _head(self, channel: Channel) -> Head:
        now = asyncio.get_running_loop().time()
        known = self._known.get(channel)
        if known is None or known[1] < now:
            head = (await self._heads([channel]))[channel]
            known = self._known[channel] = (head, now + _KEPT_SECONDS)
            self._known.move_to_end(channel)
            if len(self._known) > _KEPT_MAX:
                self._known.popitem(last=False)
        return known[0]

    async def _within(
        self, channel: Channel, comparisons: Sequence[Comparison], length: int
    ) -> int:
        """Return how many of the channel's messages are in the range of `created` asked for."""
        earliest, latest = _created(comparisons)
        bounds = [bound for bound in (earliest, latest) if bound is not None]
        if not bounds:
            return length
        rows = await self._database.fetch(_PLACES, channel.key, bounds, length)
        before = {row["bound"]: row["before"] for row in rows}
        first = 0 if earliest is None else before[earliest]
        last = length if latest is None else before[latest]
        return max(0, last - first)


def _ids(comparisons: Sequence[Comparison]) -> int | None:
    """Return how many messages can have one of the ids asked for; None: ids do not matter."""
    counts = [
        len(one.value) if one.operator is Operator.IN and isinstance(one.value, list) else 1
        for one in comparisons
        if one.field.name == "id" and one.operator in {Operator.EQ, Operator.IN}
    ]
    return min(counts, default=None)


def _created(comparisons: Sequence[Comparison]) -> tuple[int | None, int | None]:
    """Return the milliseconds from which on, and before which, `created` must lie; None: any."""
    earliest: list[int] = []
    latest: list[int] = []
    for one in comparisons:
        value = one.value
        if one.field.name != "created" or not isinstance(value, int | Decimal):
            continue  # a list
        # Milliseconds are whole: > 5 is >= 6, and so is > 5.5; < 5.5 is < 6.
        floor, ceiling = math.floor(value), math.ceil(value)
        if one.operator in {Operator.GTE, Operator.EQ}:
            earliest.append(ceiling)
        if one.operator is Operator.GT:
            earliest.append(floor + 1)
        if one.operator in {Operator.LTE, Operator.EQ}:
            latest.append(floor + 1)
        if one.operator is Operator.LT:
            latest.append(ceiling)
    return (
        _in_bigint(max(earliest)) if earliest else None,
        _in_bigint(min(latest)) if latest else None,
    )


def _in_bigint(milliseconds: int) -> int:
    return max(-_LARGEST, min(milliseconds, _LARGEST))
