"""Deleting stored messages: in batches, so that nobody who publishes waits for long.

A batch is one statement and one transaction. It locks the channel's row first, as publishing
does, so that no two of them wait for each other in a circle; a trigger counts what is deleted.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeAlias, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay
from tenacity.wait import wait_random_exponential

from app.domain.channel import Channel
from app.domain.query import MessageQuery
from app.errors import Unavailable
from app.storage import statements
from app.storage.created_bounds import last_before
from app.storage.database import Database, DatabaseLost

__all__ = ["HELD", "MESSAGES", "TRACES", "Find", "MessageDeletion"]

Find: TypeAlias = Callable[[int, int], Awaitable[Sequence[int]]]
"""Returns the next sequences to delete: those after a sequence, at most so many, in order."""
Done = TypeVar("Done")

_FIRST_BATCH: Final = 50
_SMALLEST_BATCH: Final = 10
_LARGEST_BATCH: Final = 1_000
_BATCH_SECONDS: Final = 0.015
"""How long a batch should take: publishing on its channel waits meanwhile."""
_PATIENCE_SECONDS: Final = 10.0
"""How long one step is tried again while the database is away or has too much to do."""

MESSAGES: Final = "messages"
TRACES: Final = ("retracted_messages", "retractions")
"""What is left of messages that were retracted: it has places in the channel's order too."""
HELD: Final = "held_messages"
"""What waits for a moderator: it has places in an order of its own, that of its arrival."""
_PLACES: Final = dict.fromkeys((MESSAGES, *TRACES), "sequence") | {HELD: "arrival"}

# The rows are joined to the lock: none is touched before it is held.
_DELETE: Final = """
    WITH locked AS MATERIALIZED (SELECT channel FROM channels WHERE channel = $1 FOR UPDATE),
    gone AS (
        DELETE FROM {table} AS t USING locked
        WHERE t.channel = locked.channel AND t.channel = $1 AND t.{place} = ANY ($2::bigint[])
        RETURNING 1
    )
    SELECT count(*) FROM gone
"""
_FROM: Final = {table: _DELETE.format(table=table, place=place) for table, place in _PLACES.items()}
_UP_TO: Final = {
    table: f"SELECT {place} AS sequence FROM {table} WHERE channel = $1 AND {place} > $2 "  # noqa: S608
    f"AND {place} <= $3 ORDER BY {place} LIMIT $4"
    for table, place in _PLACES.items()
}
_LAST_HELD: Final = """
    SELECT coalesce(max(arrival), 0) AS arrival FROM held_messages
    WHERE channel = $1 AND ($2::bigint IS NULL OR created < $2)
"""


class MessageDeletion:
    """Deletes messages; of one process, one batch at a time is under way."""

    def __init__(self, database: Database, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """Take the database.

        Args:
            database: where the messages are.
            patience_seconds: how long a step is tried again while the database is away.
        """
        self._database = database
        self._patience = patience_seconds
        self._turn = asyncio.Lock()

    def finding(self, channel: Channel, query: MessageQuery) -> Find:
        """Return what finds the messages of a query that an index serves.

        Args:
            channel: whose.
            query: its filters and `up_to`.
        """

        async def find(after: int, limit: int) -> list[int]:
            statement = statements.sequences(channel, query, after, limit)
            sql, parameters = statements.rendered(statement)
            return [row["sequence"] for row in await self._database.fetch(sql, *parameters)]

        return find

    def up_to(self, channel: Channel, sequence: int, table: str = MESSAGES) -> Find:
        """Return what finds all that has a place up to a sequence.

        Args:
            channel: whose.
            sequence: inclusive.
            table: `MESSAGES`, one of `TRACES`, or `HELD`, whose places are numbers of arrival.
        """

        async def find(after: int, limit: int) -> list[int]:
            rows = await self._database.fetch(_UP_TO[table], channel.key, after, sequence, limit)
            return [row["sequence"] for row in rows]

        return find

    async def last_before(self, channel: Channel, created: int) -> int:
        """Return the place of the last that is stored and older than a time; 0: there is none.

        Args:
            channel: whose.
            created: milliseconds since the Unix epoch.

        Raises:
            Unavailable: the database stayed away.
        """
        sql, parameters = statements.rendered(last_before(channel, created))
        rows = await self._patiently(partial(self._database.fetch, sql, *parameters))
        sequence: int = rows[0]["sequence"]
        return sequence

    async def last_held(self, channel: Channel, created: int | None = None) -> int:
        """Return the number of the last arrival that waits; 0: none does.

        Args:
            channel: whose.
            created: milliseconds since the Unix epoch: only of those that are older.

        Raises:
            Unavailable: the database stayed away.
        """
        fetch = partial(self._database.fetch, _LAST_HELD, channel.key, created)
        number: int = (await self._patiently(fetch))[0]["arrival"]
        return number

    async def batches(
        self, channel: Channel, find: Find, *, table: str = MESSAGES, rest: float = 1.0
    ) -> AsyncGenerator[int, None]:
        """Delete what is found, and yield how many each batch has deleted.

        What is yielded is committed. Whoever stops in between keeps the rest: to begin again
        goes on.

        Args:
            channel: whose.
            find: tells which. What it finds must not change but by being deleted.
            table: of what is found.
            rest: how long to leave the channel alone after a batch, in times of what it took.

        Raises:
            Unavailable: the database stayed away. The last batch may have been deleted.
        """
        after, size = 0, _FIRST_BATCH
        while sequences := await self._patiently(partial(find, after, size)):
            async with self._turn:
                began = time.monotonic()
                deleted = await self._delete(channel, table, sequences)
                took = time.monotonic() - began
            yield deleted
            if len(sequences) < size:
                return
            after = sequences[-1]
            size = _next_size(len(sequences), took)
            await asyncio.sleep(rest * took)

    async def _delete(self, channel: Channel, table: str, sequences: Sequence[int]) -> int:
        uncertain = False

        async def delete() -> int:
            nonlocal uncertain
            try:
                rows = await self._database.fetch(_FROM[table], channel.key, sequences)
            except DatabaseLost as error:
                uncertain |= error.sent
                raise
            deleted: int = rows[0]["count"]
            return deleted

        deleted = await self._patiently(delete)
        # A lost connection does not tell what its statement has deleted: all of it is gone now.
        return len(sequences) if uncertain else deleted

    async def _patiently(self, step: Callable[[], Awaitable[Done]]) -> Done:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_delay(self._patience),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        ):
            with attempt:
                return await step()
        raise AssertionError("the last attempt raises")


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, Unavailable)


def _next_size(size: int, took: float) -> int:
    """Return how many to delete next: as many as should take the time that a batch may."""
    fitting = int(size * _BATCH_SECONDS / max(took, 0.001))
    return max(_SMALLEST_BATCH, min(fitting, 2 * size, _LARGEST_BATCH))
