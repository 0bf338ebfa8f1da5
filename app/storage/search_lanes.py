"""Two lanes for searches: what reads little never waits behind what reads much.

An estimate of the messages that a search may read decides. Little, and it is quick: it has
connections of its own. Much, and it is slow: few run at once, behind everybody else's work.
Too much, and it is refused. An estimate can be wrong: what is still running in the quick lane
after a second is cancelled there and begins again in the slow one.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any, Final

import asyncpg

from app import setting_names
from app.defaults import (
    SEARCH_MAX_SCAN,
    SEARCH_QUEUE_MAX,
    SEARCH_WAIT_SECONDS,
    SLOW_SECONDS,
    STATEMENT_TIMEOUT_SECONDS,
)
from app.domain.channel import Channel
from app.domain.query import MessageQuery
from app.errors import BadUserInput
from app.storage.database import Database, DatabaseTookTooLong
from app.storage.estimates import Estimate, EstimatedByPlace
from app.storage.history import MessageHistory
from app.storage.search_queue import SearchQueue, SearchRequest
from app.telemetry.histogram import SEARCH_SECONDS, Histogram
from app.telemetry.slow import log_slow_search

__all__ = ["QUICK_MESSAGES", "Lane", "SearchLanes"]

QUICK_MESSAGES: Final = 5_000
"""A search that reads no more is quick: some ten milliseconds when it groups all of them."""


class SearchLanes:
    """The connections for searches, and the queues before them."""

    def __init__(
        self,
        quick: Database,
        slow: Database,
        *,
        estimate: Estimate | None = None,
        max_scan: int = SEARCH_MAX_SCAN,
        queue_max: int = SEARCH_QUEUE_MAX,
        wait_seconds: float = SEARCH_WAIT_SECONDS,
        request_seconds: float = STATEMENT_TIMEOUT_SECONDS,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        """Take the connections.

        Args:
            quick: for what reads little.
            slow: for what reads much.
            estimate: tells which is which; None: by place in the channel alone.
            max_scan: a search that would read more messages is refused, unless it is quick;
                0: none is.
            queue_max: searches that wait in each lane; see `SearchQueue` for those beyond.
            wait_seconds: no search waits for longer.
            request_seconds: how long a request that has begun goes first.
            slow_seconds: a statement that runs for longer is logged; 0: none is.
        """
        self._estimate = estimate or EstimatedByPlace(MessageHistory(quick).heads, quick)
        self._max_scan = max_scan
        self._slow_seconds = slow_seconds or inf
        self.quick, self.slow = (
            Lane(
                database,
                SearchQueue(
                    database.size,
                    waiting_max=queue_max,
                    wait_seconds=wait_seconds,
                    request_seconds=request_seconds,
                ),
            )
            for database in (quick, slow)
        )

    @classmethod
    def of(cls, database: "Database | SearchLanes") -> "SearchLanes":
        """Return lanes as they are, or connections as both lanes."""
        return database if isinstance(database, SearchLanes) else cls(database, database)

    async def fetch(
        self,
        request: SearchRequest,
        channel: Channel,
        query: MessageQuery,
        sql: str,
        *parameters: Any,
        whole: bool = True,
        on_send: Callable[[], None] = lambda: None,
    ) -> list[asyncpg.Record]:
        """Run one statement of a search in its lane and return its rows.

        Args:
            request: what it is a part of.
            channel: which is searched.
            query: what the statement is made of.
            sql: with $1, $2 … for the parameters.
            parameters: as asyncpg encodes them.
            whole: whether it needs all that match, or only the query's page of messages.
            on_send: called when it is its turn, and again if it changes lanes.

        Raises:
            BadUserInput: it would read more messages than a search may.
            Unavailable: refused by the queue, cancelled because it took too long, or the
                database is away.
        """
        messages = await self._estimate(channel, query, whole=whole)
        began = sent = time.monotonic()

        def sending() -> None:
            nonlocal sent
            sent = time.monotonic()
            on_send()

        try:
            return await self._fetch(request, channel, messages, sql, parameters, sending)
        finally:
            seconds = time.monotonic() - sent
            if seconds > self._slow_seconds and sent > began:
                log_slow_search(
                    channel.key, seconds=seconds, waited_seconds=sent - began, messages=messages
                )

    async def _fetch(
        self,
        request: SearchRequest,
        channel: Channel,
        messages: int,
        sql: str,
        parameters: Sequence[Any],
        on_send: Callable[[], None],
    ) -> list[asyncpg.Record]:
        if messages <= QUICK_MESSAGES:
            try:
                return await self.quick.fetch(channel, request, sql, *parameters, on_send=on_send)
            except DatabaseTookTooLong:
                # It reads more than it seemed to.
                pass
        elif 0 < self._max_scan < messages:
            raise BadUserInput(
                f"this search would read {messages} messages, at most {self._max_scan} are "
                "allowed; narrow it by created or by an indexed field, or have the operator index "
                f"the field (widgetwire indexes add PATH) or raise {setting_names.SEARCH_MAX_SCAN}"
            )
        return await self.slow.fetch(channel, request, sql, *parameters, on_send=on_send)


class Lane:
    """Connections for searches, and the queue before them.

    Args:
        database: the connections.
        queue: of as many places as there are connections.
    """

    def __init__(self, database: Database, queue: SearchQueue) -> None:
        self.queue = queue
        self.seconds = Histogram(SEARCH_SECONDS)
        """From asking to the answer, those that were answered."""
        self._database = database

    async def fetch(
        self,
        channel: Channel,
        request: SearchRequest,
        sql: str,
        *parameters: Any,
        on_send: Callable[[], None],
    ) -> list[asyncpg.Record]:
        """Run one statement when its turn comes; see `SearchLanes.fetch`."""
        began = time.monotonic()
        rows = await self.queue.run(
            channel.key, request, partial(self._database.fetch, sql, *parameters, on_send=on_send)
        )
        self.seconds.observe(time.monotonic() - began)
        return rows
