"""Live held messages: those that wait now, oldest first, then each as it arrives.

However many moderators listen, new arrivals are read once a channel and encoded once for those
who want the same bytes. The table numbers them in the order of the commits, so that reading on
after the last number misses none and repeats none, whichever process held them.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Hashable, Sequence
from contextlib import suppress
from typing import Final, NoReturn, TypeAlias

from app.delivery.hub import Hub
from app.delivery.members import Member, Members
from app.delivery.supervision import keep_running
from app.domain.channel import Channel
from app.domain.entry import Entry
from app.domain.message import Message
from app.errors import DeliveryFailed, Forbidden, Unavailable
from app.services.live.pace import Pace
from app.services.live.shared_opening import SharedOpening
from app.services.live.source import Respond, Source
from app.storage.held import Arrival, HeldMessages
from app.telemetry.log_fields import event

__all__ = ["HeldSource", "LiveHeld"]

logger = logging.getLogger(__name__)

_PAGE: Final = 200
_POLL_SECONDS: Final = 5.0
"""How often the table is asked for new arrivals: the most that a lost event costs."""

Allowed: TypeAlias = Callable[[], None]
"""Returns if the listener may still see held messages; else raises `Forbidden`."""


class LiveHeld:
    """The channels of this process whose held messages are listened to."""

    def __init__(
        self, hub: Hub, store: HeldMessages, *, poll_seconds: float = _POLL_SECONDS
    ) -> None:
        """Take the parts.

        Args:
            hub: tells other processes, and is told by them.
            store: the table.
            poll_seconds: how often the table is asked, whatever the hub has told.
        """
        self._hub = hub
        self._store = store
        self._poll_seconds = poll_seconds
        self._channels: dict[Channel, _HeldChannel] = {}
        self._poller: asyncio.Task[NoReturn] | None = None

    async def start(self) -> None:
        """Begin to hear of arrivals."""
        self._hub.on_held = self.arrived
        self._poller = asyncio.create_task(
            keep_running("poll of held messages", self._poll_forever), name="poll of held messages"
        )

    async def stop(self) -> None:
        """Give nothing more. Idempotent."""
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            await asyncio.gather(poller, return_exceptions=True)
        for channel in tuple(self._channels.values()):
            await channel.stop()

    def tell(self, channels: Collection[Channel]) -> None:
        """Take note that this process has just held messages, and tell the others."""
        for channel in channels:
            self._hub.publish_held(channel)
            self.arrived(channel)

    def arrived(self, channel: Channel) -> None:
        """Take note that messages of a channel may have arrived, from whatever process."""
        if (listened := self._channels.get(channel)) is not None:
            listened.wake()

    async def source(self, channel: Channel, allowed: Allowed) -> "HeldSource":
        """Return one more listener's source; from here on it misses nothing.

        Args:
            channel: whose held messages.
            allowed: asked before each message.

        Raises:
            Unavailable: the database is away.
        """
        listened = self._channels.get(channel)
        if listened is None:
            listened = self._channels[channel] = _HeldChannel(
                channel, self._hub, self._store, lambda: self._channels.pop(channel, None)
            )
        source = HeldSource(listened, allowed)
        try:
            await listened.open()
        except BaseException:
            source.close()
            raise
        return source

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            if not self._channels:
                continue
            # Before the numbers are read: what is given meanwhile may be newer than they are.
            places = {each: listened.position for each, listened in self._channels.items()}
            with suppress(Unavailable):  # the next round asks again
                for channel, number in (await self._store.newest([*places])).items():
                    if (listened := self._channels.get(channel)) is not None:
                        listened.compare(places[channel], number)


class _HeldChannel:
    """One channel; a subscriber of its feed, so that this process hears of its events."""

    def __init__(
        self, channel: Channel, hub: Hub, store: HeldMessages, on_unused: Callable[[], object]
    ) -> None:
        self._channel = channel
        self._hub = hub
        self._store = store
        self._on_unused = on_unused
        self._opened = SharedOpening(self._open)
        self._groups: dict[Hashable, _HeldGroup] = {}
        self._listeners = 0
        """Sources that are not closed: members, and those about to be."""
        self.position = 0
        """The number up to which the groups were given everything."""
        self._awake = False
        self._reader: asyncio.Task[None] | None = None

    def deliver(self, entries: Sequence[Entry]) -> None:
        """What is published is none of its business."""

    def dropped(self) -> None:
        """Nothing it does with messages can fail."""

    def restarted(self, position: int) -> None:
        """Nor are their places."""

    def removed(self) -> None:
        """Nor their end."""

    def listen(self) -> None:
        """Count one source more."""
        self._listeners += 1

    def unlisten(self) -> None:
        """Count one less; without any the channel is let go."""
        self._listeners -= 1
        if self._listeners:
            return
        self._hub.leave(self._channel, self)
        self._opened.cancel()
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()
        self._on_unused()

    async def open(self) -> None:
        """Hear of arrivals, and know the last number.

        Raises:
            Unavailable: the database is away.
        """
        await self._opened()

    async def stop(self) -> None:
        """Read no more. Idempotent."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def after(self, number: int) -> list[Arrival]:
        """Return the next page of what waits."""
        return await self._store.after(self._channel, number, _PAGE)

    def group(self, key: Hashable, respond: Respond) -> "_HeldGroup":
        """Return the group of everybody who wants the same bytes of a message."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _HeldGroup(respond)
        return group

    def forget(self, key: Hashable, group: "_HeldGroup") -> None:
        """Drop a group that has no member."""
        if not group.members and self._groups.get(key) is group:
            del self._groups[key]

    def compare(self, place: int, newest: int) -> None:
        """Take the last number, as it was read after the position was `place`."""
        if newest < place:
            # The channel's row was deleted, by hand or with its database: it counts anew.
            logger.warning(
                "held messages of %s are counted anew",
                self._channel.key,
                extra=event("channel.counted_anew", channel=self._channel.key),
            )
            self.position = 0
            for group in self._groups.values():
                group.counts_anew()
        if newest > self.position:
            self.wake()

    def wake(self) -> None:
        """Read what has arrived since; one task for all, and only while there is something."""
        self._awake = True
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="read held messages")

    async def _read(self) -> None:
        try:
            await self._opened()
            while self._awake and self._listeners:
                self._awake = False
                while page := await self.after(self.position):
                    for number, message in page:
                        self._give(number, message)
        except Unavailable:
            logger.info(
                "held messages of %s wait for the database",
                self._channel.key,
                extra=event("database.waited_for", what="held messages"),
            )
        except Exception:
            logger.exception("held messages of %s could not be read", self._channel.key)
        finally:
            self._reader = None

    def _give(self, number: int, message: Message) -> None:
        self.position = number
        for group in tuple(self._groups.values()):
            group.give(number, message)

    async def _open(self) -> None:
        # Joining makes this process hear the channel's events; what they bring after the number
        # was read is read again.
        await self._hub.join(self._channel, self)
        self.position = (await self._store.newest([self._channel]))[self._channel]


class HeldSource(Source):
    """One listener's way into a channel's held messages."""

    def __init__(self, channel: _HeldChannel, allowed: Allowed) -> None:
        self._channel: _HeldChannel | None = channel
        self._allowed = allowed
        channel.listen()

    async def begin(self, key: Hashable, respond: Respond, member: Member) -> Callable[[], None]:
        channel = self._channel
        assert channel is not None, "not closed"
        pace = Pace(member.drained)
        given = 0
        while True:
            # All that is numbered up to here is committed: the page has it, or it waits no more.
            position = channel.position
            page = await channel.after(given)
            for number, message in page:
                self._allowed()
                payload = _encoded(respond, message)
                member.receive((payload,))
                given = number
                await pace.wrote(len(payload))
            if len(page) < _PAGE:
                given = max(given, position)
                if given >= channel.position:
                    break
        group = channel.group(key, respond)
        group.add(member, given, self._allowed)

        def leave() -> None:
            group.remove(member)
            channel.forget(key, group)
            self.close()

        return leave

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.unlisten()


class _HeldGroup:
    """Members that are given the same bytes."""

    __slots__ = ("_allowed", "_respond", "members")

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._allowed: dict[Member, Allowed] = {}
        self.members = Members("heldMessages")

    def add(self, member: Member, given: int, allowed: Allowed) -> None:
        """Give a member what comes after the number of the last that it was given."""
        self._allowed[member] = allowed
        self.members.add(member, given)

    def remove(self, member: Member) -> None:
        """Give it nothing more. Idempotent."""
        self._allowed.pop(member, None)
        self.members.remove(member)

    def counts_anew(self) -> None:
        """Take note that numbers begin anew."""
        for member in self._allowed:
            self.members.add(member, 0)

    def give(self, number: int, message: Message) -> None:
        """Give a message to those who have not had it and still may."""
        for member, allowed in tuple(self._allowed.items()):
            try:
                allowed()
            except Forbidden as refusal:
                self.remove(member)
                member.fail(refusal)
        if not self._allowed:
            return
        try:
            payload = _encoded(self._respond, message)
        except Exception:
            logger.exception("a held message could not be given")
            self.members.drop(DeliveryFailed())
            self._allowed.clear()
            return
        self.members.give((payload,), number)
        for member in tuple(self._allowed):
            if member not in self.members:
                del self._allowed[member]  # it broke


def _encoded(respond: Respond, message: Message) -> bytes:
    payload = respond(message)
    assert isinstance(payload, bytes), "a message's fields are resolved without waiting"
    return payload
