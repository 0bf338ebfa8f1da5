"""Live results: one for all who asked the same, kept up to date message by message.

A result is a `KeptResult`; its response is made again when a message has changed it, at most
once an interval, and given to all whose response it is.
"""

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final, Protocol

from app.defaults import LIVE_QUERY_INTERVAL_SECONDS, MAX_LIVE_RESULT_BYTES
from app.delivery.hub import Hub
from app.delivery.members import Member
from app.domain.channel import Channel
from app.domain.message import Head
from app.domain.query import CompiledFilters, MessageQuery
from app.domain.viewer import Permission, Viewer
from app.services.live.channel_results import ChannelResults
from app.services.live.kept_result import KeptResult
from app.services.live.patience import patiently
from app.services.live.result_group import ResultGroup
from app.services.live.shared_result import SharedResult
from app.services.live.source import Respond, Source
from app.services.rights import Rights
from app.services.searching import Searching
from app.storage.head_looks import HeadLooks, Heads
from app.storage.result_reads import ResultReads

__all__ = ["LiveResults", "ReadResult", "ResultSource"]


_READS_AT_ONCE: Final = 32
"""For results that are watched: more than there are connections, fewer than would be refused."""


class ReadResult(Protocol):
    """Makes the event whose response is the present result."""

    def __call__(self, search: Searching, on_unavailable: Callable[[], None]) -> object:
        """Return the event.

        Args:
            search: answers.
            on_unavailable: called where a read for it fails.
        """


class LiveResults:
    """The live queries of this process."""

    def __init__(
        self,
        hub: Hub,
        history: Heads,
        search: Searching,
        reads: ResultReads,
        interval_seconds: float = LIVE_QUERY_INTERVAL_SECONDS,
        max_bytes: int = MAX_LIVE_RESULT_BYTES,
        rights: Rights | None = None,
    ) -> None:
        """Take the parts.

        Args:
            hub: tells of new messages.
            history: tells how far the table is, for whoever joins a result that is known.
            search: answers for what is not kept.
            reads: what is kept begins with it.
            interval_seconds: a response is made again at most this often.
            max_bytes: memory of all results together; what finds no room is searched for
                each time that it changes.
            rights: of the process; None: nobody is ever banned.
        """
        self._hub = hub
        self._looks = HeadLooks(history)
        self._turns = asyncio.Semaphore(_READS_AT_ONCE)
        self._search = search
        self._reads = reads
        self._interval = interval_seconds
        self._max_bytes = max_bytes
        self._rights = rights or Rights()
        self._channels: dict[Channel, ChannelResults] = {}
        self.held_bytes = 0
        """Memory that results take, roughly."""

    @property
    def kept(self) -> int:
        """How many results there are, of those who watch and of those who ask again and again."""
        return sum(results.size for results in self._channels.values())

    def subscribe(
        self,
        viewer: Viewer,
        channel: Channel,
        query: MessageQuery,
        filters: CompiledFilters,
        read: ReadResult,
        on_closed: Callable[[], None] = lambda: None,
    ) -> "ResultSource":
        """Return the live result of a query.

        Args:
            viewer: who asks; needs the rights to search and to subscribe.
            channel: where.
            query: what.
            filters: of the query; a message that they refuse changes nothing.
            read: makes the event of the present result.
            on_closed: called once when it ends.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
        """
        self._rights.require(viewer, Permission.SUBSCRIBE, channel)
        self._rights.require(viewer, Permission.SEARCH, channel)
        return ResultSource(self, channel, query, filters, read, on_closed)

    def group(
        self,
        channel: Channel,
        key: Hashable,
        query: MessageQuery,
        filters: CompiledFilters,
        respond: Callable[[KeptResult, Callable[[], None]], object],
    ) -> ResultGroup:
        """Return the group of everybody who asked the same."""
        results = self.channel(channel)
        group = results.groups.get(key)
        if group is None:
            group = results.groups[key] = ResultGroup(
                results,
                results.result(query, filters),
                respond,
                self._interval,
                partial(_forget_group, results, key),
            )
        return group

    def channel(self, channel: Channel) -> ChannelResults:
        """Return the results of a channel; hold one of them before anything is awaited."""
        results = self._channels.get(channel)
        if results is None:
            results = self._channels[channel] = ChannelResults(
                self._hub,
                self._looks,
                self._search,
                self._reads,
                channel,
                self._turns,
                self._account,
                partial(self._forget, channel),
            )
        return results

    async def head(self, channel: Channel) -> Head:
        """Return the table's head, as it is after the call.

        Raises:
            Unavailable: the database is away.
        """
        return await self._looks.head(channel)

    def find(self, channel: Channel, query: MessageQuery) -> SharedResult | None:
        """Return a query's result if somebody holds it."""
        results = self._channels.get(channel)
        return None if results is None else results.find(query)

    def _account(self, more: int) -> bool:
        """Count memory taken or given back; return whether there was room for it."""
        if more > 0 and self.held_bytes + more > self._max_bytes:
            return False
        self.held_bytes += more
        return True

    def _forget(self, channel: Channel, gone: ChannelResults) -> None:
        # One that was dropped with its feed may have been followed by another.
        if self._channels.get(channel) is gone:
            del self._channels[channel]


class ResultSource(Source):
    """One subscriber's way into a live result."""

    def __init__(
        self,
        results: LiveResults,
        channel: Channel,
        query: MessageQuery,
        filters: CompiledFilters,
        read: ReadResult,
        on_closed: Callable[[], None],
    ) -> None:
        self._results = results
        self._channel = channel
        self._query = query
        self._filters = filters
        self._read = read
        self._on_closed: Callable[[], None] | None = on_closed

    async def begin(self, key: Hashable, respond: Respond, member: Member) -> Callable[[], None]:
        async def join() -> ResultGroup:
            # Anew each time: a group that nobody could join is gone.
            group = self._results.group(
                self._channel,
                key,
                self._query,
                self._filters,
                lambda kept, on_unavailable: respond(self._read(kept, on_unavailable)),
            )
            await group.join(member)
            return group

        group = await patiently(join)

        def leave() -> None:
            group.leave(member)
            self.close()

        return leave

    def close(self) -> None:
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()


def _forget_group(results: ChannelResults, key: Hashable, group: ResultGroup) -> None:
    if results.groups.get(key) is group:
        del results.groups[key]
