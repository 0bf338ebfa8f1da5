"""Live results: a query's result is read once for all who asked the same, when it changes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Final, Protocol

from app.defaults import LIVE_QUERY_INTERVAL_SECONDS
from app.delivery.hub import Hub
from app.delivery.members import Member, Members
from app.domain.channel import Channel
from app.domain.message import Head, Message
from app.domain.query import CompiledFilters
from app.domain.viewer import Permission, Viewer
from app.errors import DeliveryFailed
from app.services.live.shared_opening import SharedOpening
from app.services.live.shared_read import SharedRead
from app.services.live.source import Respond, Source

__all__ = ["LiveResults", "ReadResult", "ResultSource"]

logger = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 1.0
"""After a read that failed: the database is away for everybody."""


class ReadResult(Protocol):
    """Makes the event whose response is the present result."""

    def __call__(self, on_unavailable: Callable[[], None]) -> object:
        """Return the event; `on_unavailable` is called where a read of it fails."""


class Heads(Protocol):
    """The table's newest sequences."""

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        """Return where each channel's order ends."""


class LiveResults:
    """The live queries of this process."""

    def __init__(
        self, hub: Hub, history: Heads, interval_seconds: float = LIVE_QUERY_INTERVAL_SECONDS
    ) -> None:
        """Take the parts.

        Args:
            hub: tells of new messages.
            history: tells how far the table is, for whoever joins a result that is known.
            interval_seconds: a result is read again at most this often.
        """
        self._hub = hub
        self._history = history
        self._interval = interval_seconds
        self._groups: dict[tuple[Channel, Hashable], _ResultGroup] = {}

    def subscribe(
        self,
        viewer: Viewer,
        channel: Channel,
        filters: CompiledFilters,
        read: ReadResult,
        on_closed: Callable[[], None] = lambda: None,
    ) -> "ResultSource":
        """Return the live result of a query.

        Args:
            viewer: who asks; needs the rights to search and to subscribe.
            channel: where.
            filters: of the query; a message that they refuse changes nothing.
            read: makes the event of the present result.
            on_closed: called once when it ends.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
        """
        viewer.require(Permission.SUBSCRIBE, channel)
        viewer.require(Permission.SEARCH, channel)
        return ResultSource(self, channel, filters, read, on_closed)

    def group(
        self,
        channel: Channel,
        key: Hashable,
        filters: CompiledFilters,
        respond: Callable[[], object],
    ) -> "_ResultGroup":
        """Return the group of everybody who asked the same."""
        place = channel, key
        group = self._groups.get(place)
        if group is None:
            group = self._groups[place] = _ResultGroup(
                self._hub,
                self._history,
                channel,
                filters,
                respond,
                self._interval,
                partial(self._forget, place),
            )
        return group

    def _forget(self, place: tuple[Channel, Hashable], gone: "_ResultGroup") -> None:
        # One that was dropped with its feed may have been followed by another.
        if self._groups.get(place) is gone:
            del self._groups[place]


class ResultSource(Source):
    """One subscriber's way into a live result."""

    def __init__(
        self,
        results: LiveResults,
        channel: Channel,
        filters: CompiledFilters,
        read: ReadResult,
        on_closed: Callable[[], None],
    ) -> None:
        self._results = results
        self._channel = channel
        self._filters = filters
        self._read = read
        self._on_closed: Callable[[], None] | None = on_closed

    async def begin(self, key: Hashable, respond: Respond, member: Member) -> Callable[[], None]:
        group = self._results.group(
            self._channel, key, self._filters, lambda: respond(self._read(group.look_again))
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


class _ResultGroup:
    """Everybody who wants the same result as the same bytes; a subscriber of the feed.

    The result it holds is known to be as of a sequence of the channel. A message that
    the filters accept makes it be read again, at most once an interval.
    """

    def __init__(
        self,
        hub: Hub,
        history: Heads,
        channel: Channel,
        filters: CompiledFilters,
        respond: Callable[[], object],
        interval: float,
        on_empty: Callable[["_ResultGroup"], None],
    ) -> None:
        self._hub = hub
        self._channel = channel
        self._filters = filters
        self._respond = respond
        self._interval = interval
        self._on_empty = on_empty
        self._members = Members()
        self._joining = 0
        self._payload: bytes | None = None
        self._as_of = 0
        """The result takes in every message up to here."""
        self._position = 0
        """The newest sequence that the feed has brought."""
        self._restarts = 0
        self._dropped = False
        self._changed = False
        self._earliest = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opened = SharedOpening(lambda: hub.join(channel, self))
        self._head = SharedRead(lambda: self._read_head(history))

    async def join(self, member: Member) -> None:
        """Give the member the result, not older than this moment; then whatever it becomes.

        Raises:
            Unavailable: the database is away.
            DeliveryFailed: changes cannot be noticed any more.
        """
        self._joining += 1
        try:
            self._position = max(self._position, await self._opened())
            if self._payload is None and self._reading is None:
                await asyncio.shield(self._read())
            else:
                # What is here may be older than what this subscriber has seen acknowledged.
                await self._reach(await self._head())
            if self._dropped:
                raise DeliveryFailed
            assert self._payload is not None
            member.receive((self._payload,))
            self._members.add(member)
        finally:
            self._joining -= 1
            self._close_if_empty()

    def leave(self, member: Member) -> None:
        """Give it no more. Idempotent."""
        if self._members.remove(member):
            self._close_if_empty()

    def look_again(self) -> None:
        """Read again in a while: a part of the result could not be read."""
        self._earliest = asyncio.get_running_loop().time() + _AGAIN_SECONDS
        self._changed = True

    def deliver(self, messages: Sequence[Message]) -> None:
        """Take messages from the feed."""
        for message in messages:
            if message.sequence is None or message.sequence <= self._as_of:
                continue
            # Filters that may take long are not asked: a read more is cheaper than a long turn.
            if not self._filters.light or self._filters.accept(message):
                self._changed = True
            elif not self._changed and self._as_of == message.sequence - 1:
                self._as_of = message.sequence
            self._position = max(self._position, message.sequence)
        self._read_in_time()

    def dropped(self) -> None:
        """Let everybody go: changes would go unnoticed from here on."""
        self._dropped = True
        self._on_empty(self)  # the next one begins anew
        self._members.drop(DeliveryFailed())
        self._close_if_empty()

    def restarted(self, position: int) -> None:
        """Read again: the channel counts anew, and messages are gone."""
        self._restarts += 1
        self._as_of = 0
        self._position = position
        self._changed = True
        self._read_in_time()

    def removed(self) -> None:
        """Read again: the result was made of messages that are gone."""
        self._changed = True
        self._read_in_time()

    async def _reach(self, head: int) -> None:
        """Return when the result takes in every message up to `head`."""
        while self._payload is None or self._as_of < head:
            self._position = max(self._position, head)
            await asyncio.shield(self._reading or self._read())

    async def _read_head(self, history: Heads) -> int:
        return (await history.heads([self._channel]))[self._channel].sequence

    def _read_in_time(self) -> None:
        """Read again when the interval is over, if there is something new and none reads."""
        if not self._changed or self._reading is not None or self._timer is not None:
            return
        if not self._members and not self._joining:
            return  # it is closed
        loop = asyncio.get_running_loop()
        wait = self._earliest - loop.time()
        if wait > 0:
            self._timer = loop.call_later(wait, self._read)
        else:
            self._read()

    def _read(self) -> "asyncio.Task[None]":
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reading is None:
            self._changed = False
            self._earliest = asyncio.get_running_loop().time() + self._interval
            # All that is committed up to here is in the snapshot that this read will take.
            self._reading = asyncio.create_task(self._read_as_of(self._position))
            self._reading.add_done_callback(lambda read: read.cancelled() or read.exception())
        return self._reading

    async def _read_as_of(self, sequence: int) -> None:
        restarts = self._restarts
        try:
            payload = self._respond()
            if isinstance(payload, Awaitable):
                payload = await payload
            assert isinstance(payload, bytes)
        except Exception:
            logger.exception("a live result of %s could not be made", self._channel.key)
            self.look_again()
            raise  # to whoever waits for the first result
        else:
            if restarts == self._restarts:
                self._as_of = max(self._as_of, sequence)
            self._give(payload)
        finally:
            self._reading = None
            self._read_in_time()

    def _give(self, payload: bytes) -> None:
        if payload == self._payload:
            return
        self._payload = payload
        self._members.give((payload,))

    def _close_if_empty(self) -> None:
        if self._members or self._joining:
            return
        self._on_empty(self)
        self._hub.leave(self._channel, self)
        self._opened.cancel()
        self._head.cancel()
        for pending in (self._reading, self._timer):
            if pending is not None:
                pending.cancel()
