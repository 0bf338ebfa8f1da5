"""Live counts: how many connections a channel has, told once for all who watch it.

However many watch, the channel is joined once, the other processes' sum is read once, each
form of the count is encoded once, and a storm of changes is told once in a while.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeAlias

from app.delivery.hub import Hub
from app.delivery.members import Member, Members
from app.domain.channel import Channel
from app.domain.entry import Entry
from app.services.live.shared_opening import SharedOpening
from app.services.live.source import Respond, Source
from app.storage.presence import PresenceStore

__all__ = ["CountSource", "EventOf", "WatchedChannel", "telling_interval"]

EventOf: TypeAlias = Callable[[int], Any]
"""Makes the event that a group's `respond` takes of a count."""

_COALESCED_SECONDS: Final = 0.05
"""Changes within this time are told together: ten thousand joins in a second are few tellings."""
_MOST_SECONDS: Final = 0.9
"""However many watch: the last value is told within a second."""
_SECONDS_PER_WATCHER: Final = 0.0001


def telling_interval(least_seconds: float, watchers: int) -> float:
    """Return how long to wait between two tellings, in seconds.

    It grows with the audience: telling 10,000 watchers four times a second would cost more
    than it tells them. At most 0.9 s, or `least_seconds` where that is more.
    """
    return max(least_seconds, min(_MOST_SECONDS, watchers * _SECONDS_PER_WATCHER))


class WatchedChannel:
    """A channel whose connections are watched here; a subscriber of its feed.

    Args:
        channel: whose connections.
        hub: where to hear of other processes' changes.
        store: what they have written.
        own: tells this process's part of the count.
        interval_seconds: told at most this often, however few watch.
        on_unwatched: called when the last watcher is gone.
    """

    def __init__(
        self,
        channel: Channel,
        hub: Hub,
        store: PresenceStore,
        own: Callable[[], int],
        interval_seconds: float,
        on_unwatched: Callable[[], object],
    ) -> None:
        self._channel = channel
        self._hub = hub
        self._store = store
        self._own = own
        self._interval = interval_seconds
        self._on_unwatched = on_unwatched
        self._others = 0
        self._asked_at = 0.0
        self._groups: dict[Hashable, _CountGroup] = {}
        self._watchers = 0
        """Sources that are not closed: members, and those about to be."""
        self._opened = SharedOpening(self._open)
        self._timer: asyncio.TimerHandle | None = None
        self._earliest = 0.0

    @property
    def count(self) -> int:
        """The connections of all processes, as far as it is known."""
        return self._others + self._own()

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Messages are none of its business."""

    def dropped(self) -> None:
        """Nothing it does with messages can fail."""

    def restarted(self, position: int) -> None:
        """Nor are their places."""

    def removed(self) -> None:
        """Nor their end."""

    async def source(self, event_of: EventOf = lambda count: count) -> "CountSource":
        """Return one more watcher's source, once the count is known.

        Raises:
            Unavailable: the database is away.
        """
        source = CountSource(self, event_of)
        self._watchers += 1
        try:
            await self._opened()
        except BaseException:
            source.close()
            raise
        return source

    def group(self, key: Hashable, respond: Respond, event_of: EventOf) -> "_CountGroup":
        """Return the group of everybody who wants the same bytes of a count."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _CountGroup(respond, event_of)
        return group

    def forget(self, key: Hashable, group: "_CountGroup") -> None:
        """Drop a group that has no member."""
        if not group.members and self._groups.get(key) is group:
            del self._groups[key]

    def unwatch(self) -> None:
        """Take note that a source was closed."""
        self._watchers -= 1
        if self._watchers:
            return
        self._hub.leave(self._channel, self)
        self._opened.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._on_unwatched()

    def set_others(self, count: int, asked_at: float) -> None:
        """Take the sum of the other processes.

        Args:
            count: as it was read.
            asked_at: the loop's time when the reading began. Of two readings that overtake
                each other the one that began later holds.
        """
        if asked_at < self._asked_at:
            return
        self._asked_at = asked_at
        if count != self._others:
            self._others = count
            self.tell()

    def tell(self) -> None:
        """Let the members have the count, soon."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            wait = max(_COALESCED_SECONDS, self._earliest - loop.time())
            self._timer = loop.call_later(wait, self._tell_now)

    def _tell_now(self) -> None:
        self._timer = None
        count = self.count
        told = [group.tell(count) for group in tuple(self._groups.values())]
        if any(told):
            interval = telling_interval(self._interval, self._watchers)
            self._earliest = asyncio.get_running_loop().time() + interval

    async def _open(self) -> None:
        # Joining makes this process hear the channel's events; what they change after the
        # sum is read is read again.
        await self._hub.join(self._channel, self)
        asked_at = asyncio.get_running_loop().time()
        others = await self._store.others([self._channel])
        self.set_others(others[self._channel], asked_at)


class CountSource(Source):
    """One watcher's way into a channel's count."""

    def __init__(self, watched: WatchedChannel, event_of: EventOf) -> None:
        self._watched: WatchedChannel | None = watched
        self._event_of = event_of

    @property
    def count(self) -> int:
        """The count now; 0 once it is closed."""
        return 0 if self._watched is None else self._watched.count

    async def begin(self, key: Hashable, respond: Respond, member: Member) -> Callable[[], None]:
        watched = self._watched
        assert watched is not None, "not closed"
        group = watched.group(key, respond, self._event_of)
        if group.welcome(member, watched.count):
            watched.tell()

        def leave() -> None:
            group.members.remove(member)
            watched.forget(key, group)
            self.close()

        return leave

    def close(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            watched.unwatch()


class _CountGroup:
    """Members that are given the same bytes."""

    __slots__ = ("_event_of", "_respond", "_told", "members")

    def __init__(self, respond: Respond, event_of: EventOf) -> None:
        self._respond = respond
        self._event_of = event_of
        self._told: int | None = None
        """What every member was given last; None: not all were given the same."""
        self.members = Members("connectionCount")

    def welcome(self, member: Member, count: int) -> bool:
        """Give a new member the count; return whether the others were given another one."""
        member.receive((self._encoded(count),))
        if not self.members:
            self._told = count
        elif self._told != count:
            self._told = None
        self.members.add(member)
        return self._told is None

    def tell(self, count: int) -> bool:
        """Give all members the count, unless they have it; return whether they had not."""
        if count == self._told:
            return False
        self._told = count
        self.members.give((self._encoded(count),))
        return True

    def _encoded(self, count: int) -> bytes:
        payload = self._respond(self._event_of(count))
        assert isinstance(payload, bytes), "a count's fields are resolved without waiting"
        return payload
