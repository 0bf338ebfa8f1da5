"""Live results: one for all who asked the same, kept up to date message by message.

A result is a `KeptResult`; its response is made again when a message has changed it, at most
once an interval, and given to all whose response it is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Final, Protocol

from app.defaults import LIVE_QUERY_INTERVAL_SECONDS, MAX_LIVE_RESULT_BYTES
from app.delivery.by_filters import ByFilters
from app.delivery.hub import Hub
from app.delivery.members import Member
from app.domain.channel import Channel
from app.domain.message import Head, Message
from app.domain.query import CompiledFilters, MessageQuery
from app.domain.viewer import Permission, Viewer
from app.services.live.kept_result import KeptResult, Reads
from app.services.live.result_group import ResultGroup
from app.services.live.shared_opening import SharedOpening
from app.services.live.shared_read import SharedRead
from app.services.live.source import Respond, Source
from app.services.searching import Searching

__all__ = ["LiveResults", "ReadResult", "ResultSource"]

logger = logging.getLogger(__name__)

_REACH_SECONDS: Final = 1.0
"""How long the feed may take to bring what the table has."""


class ReadResult(Protocol):
    """Makes the event whose response is the present result."""

    def __call__(self, search: Searching, on_unavailable: Callable[[], None]) -> object:
        """Return the event.

        Args:
            search: answers.
            on_unavailable: called where a read for it fails.
        """


class Heads(Protocol):
    """The table's newest sequences."""

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        """Return where each channel's order ends."""


class LiveResults:
    """The live queries of this process."""

    def __init__(
        self,
        hub: Hub,
        history: Heads,
        search: Searching,
        reads: Reads,
        interval_seconds: float = LIVE_QUERY_INTERVAL_SECONDS,
        max_bytes: int = MAX_LIVE_RESULT_BYTES,
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
        """
        self._hub = hub
        self._history = history
        self._search = search
        self._reads = reads
        self._interval = interval_seconds
        self._max_bytes = max_bytes
        self._channels: dict[Channel, _ChannelResults] = {}
        self.held_bytes = 0
        """Memory that results take, roughly."""

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
        viewer.require(Permission.SUBSCRIBE, channel)
        viewer.require(Permission.SEARCH, channel)
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
        results = self._channels.get(channel)
        if results is None:
            results = self._channels[channel] = _ChannelResults(
                self._hub, self._history, channel, partial(self._forget, channel)
            )
        group = results.groups.get(key)
        if group is None:
            kept = KeptResult(
                channel, query, self._search, self._reads, results.head, keeps=filters.light
            )
            group = ResultGroup(
                results,
                filters,
                kept,
                respond,
                self._interval,
                self._account,
                partial(results.forget, key),
            )
            results.add(key, group)
        return group

    def _account(self, more: int) -> bool:
        """Count memory taken or given back; return whether there was room for it."""
        if more > 0 and self.held_bytes + more > self._max_bytes:
            return False
        self.held_bytes += more
        return True

    def _forget(self, channel: Channel, gone: "_ChannelResults") -> None:
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
        group = self._results.group(
            self._channel,
            key,
            self._query,
            self._filters,
            lambda kept, on_unavailable: respond(self._read(kept, on_unavailable)),
        )
        await group.join(member)

        def leave() -> None:
            group.leave(member)
            self.close()

        return leave

    def close(self) -> None:
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()


class _ChannelResults:
    """The live results of one channel; a subscriber of its feed."""

    def __init__(
        self,
        hub: Hub,
        history: Heads,
        channel: Channel,
        on_end: Callable[["_ChannelResults"], None],
    ) -> None:
        self.groups: dict[Hashable, ResultGroup] = {}
        self.position = 0
        """The newest sequence that the feed has brought."""
        self._hub = hub
        self._channel = channel
        self._on_end = on_end
        self._light: ByFilters[ResultGroup] = ByFilters()
        self._heavy: dict[ResultGroup, None] = {}
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._opened = SharedOpening(lambda: hub.join(channel, self))

        async def read_head() -> Head:
            return (await history.heads([channel]))[channel]

        self.head: Callable[[], Awaitable[Head]] = SharedRead(read_head)
        """Reads the table's head, after the call, for all who call at once."""

    def add(self, key: Hashable, group: ResultGroup) -> None:
        self.groups[key] = group
        if group.filters.light:
            self._light.add(group, group.filters)
        else:
            self._heavy[group] = None

    def forget(self, key: Hashable, group: ResultGroup) -> None:
        """Let go of a group that is over; the last one takes the channel."""
        if self.groups.get(key) is not group:
            return
        del self.groups[key]
        if group.filters.light:
            self._light.remove(group, group.filters)
        else:
            del self._heavy[group]
        if not self.groups:
            self._end()

    async def open(self) -> None:
        """Return when nothing that is published is missed any more.

        Raises:
            Unavailable: the database is away.
        """
        self.position = max(self.position, await self._opened())

    async def reach(self, sequence: int) -> bool:
        """Return whether the feed has brought everything up to a sequence, within a second."""
        if self.position >= sequence:
            return True
        self._hub.reach(self._channel, sequence)
        reached = asyncio.get_running_loop().create_future()
        self._waiting.append((sequence, reached))
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                await reached
        except TimeoutError:
            return False
        finally:
            self._waiting = [one for one in self._waiting if one[1] is not reached]
        return True

    def deliver(self, messages: Sequence[Message]) -> None:
        """Take messages from the feed."""
        broken: dict[ResultGroup, Exception] = {}
        for message in messages:
            if message.sequence is None or message.sequence <= self.position:
                continue
            for filters, groups in self._light.candidates(message):
                try:
                    accepted = filters.accept(message)
                except Exception as error:
                    broken.update(dict.fromkeys(groups, error))
                    continue
                for group in groups if accepted else ():
                    try:
                        group.apply(message)
                    except Exception as error:
                        broken[group] = error
            # Their filters are not asked, for they may take long: a read more is cheaper.
            for group in self._heavy:
                group.change()
            self.position = message.sequence
        if broken:
            example = next(iter(broken.values()))
            logger.error("a message failed %d live results", len(broken), exc_info=example)
        for group in broken:
            group.drop()
        for sequence, reached in self._waiting:
            if sequence <= self.position and not reached.done():
                reached.set_result(None)

    def dropped(self) -> None:
        """Let everybody go: changes would go unnoticed from here on."""
        self._end()  # the next one begins anew
        for group in tuple(self.groups.values()):
            group.drop()

    def restarted(self, position: int) -> None:
        """Read everything again: the channel counts anew, and messages are gone."""
        self.position = position
        self.removed()

    def removed(self) -> None:
        """Read everything again: results were made of messages that are gone."""
        for group in self.groups.values():
            group.read_again()

    def _end(self) -> None:
        self._on_end(self)
        self._hub.leave(self._channel, self)
        self._opened.cancel()
