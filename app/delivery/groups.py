"""Fan-out: one message to many members, filtered and encoded once for all that are alike.

Members who want the same bytes of the same messages form a group. A channel's groups are
one subscriber of its feed. Groups that ask for one field to equal one value are found by
that value: ten thousand different ones cost a look-up, not ten thousand evaluations. Groups
whose filters may take long are served by a task, in turns: they hold up nobody else.

Filters choose messages. Retractions and changes of the policy come to every group that asked
for events.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from app.delivery.by_filters import ByFilters
from app.delivery.delivery_times import DeliveryTimes
from app.delivery.hub import Hub
from app.delivery.matching_turns import MatchingTurns
from app.delivery.members import Member, Members
from app.domain.channel import Channel
from app.domain.entry import Entry, Retraction
from app.domain.message import Message
from app.domain.query import CompiledFilters
from app.errors import DeliveryFailed, SubscriberTooSlow
from app.telemetry.log_fields import event
from app.telemetry.traces import TRACES

__all__ = ["Encode", "FanOut", "Group", "Slice"]

logger = logging.getLogger(__name__)

_WAITING_MAX: Final = 10_000
"""Entries of a channel that wait for filters that take long."""
_WAITING_BYTES_MAX: Final = 4 * 1024 * 1024
_ALL_WAITING_BYTES_MAX: Final = 32 * 1024 * 1024
"""The same for all channels together; beyond it the channel that has one more falls behind."""

_SLICE_BYTES: Final = 64 * 1024
"""Of a replay given at once: its reader is waited for in between."""
_LOOK_BYTES: Final = 512 * 1024
"""Of a replay filtered and encoded at once."""
_KEPT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of a group's encoded replay; what was used least recently goes first."""

Encode: TypeAlias = Callable[[Any], Any]
"""Makes the bytes that every member of a group is given for an entry, without waiting."""


class FanOut:
    """The groups of all channels of this process."""

    def __init__(self, hub: Hub, turns: MatchingTurns | None = None) -> None:
        """Take the parts.

        Args:
            hub: delivers.
            turns: for filters that may take long; shared by all of the process who ask such.
        """
        self._hub = hub
        self._turns = turns or MatchingTurns()
        self._channels: dict[Channel, _ChannelGroups] = {}

    def hold(
        self,
        channel: Channel,
        key: Hashable,
        filters: CompiledFilters,
        encode: Encode,
        *,
        events: bool = False,
    ) -> "Group":
        """Return a group, kept until each who holds it has released it and its members left.

        Args:
            channel: its feed is open: somebody has joined it through the hub.
            key: equal for those whose filters and encoding are equal.
            filters: all must hold for a message to be given. Groups with the very same ones
                ask them once.
            encode: called once an entry for the whole group.
            events: whether it is given retractions and changes of the policy too.

        Raises:
            Unavailable: the channel's feed is not open.
        """
        groups = self._channels.get(channel)
        if groups is None:
            groups = _ChannelGroups(
                self._turns, self._hub.times, lambda groups: self._forget(channel, groups)
            )
            # First: groups that nothing feeds must not be found by the next one.
            self._hub.join_open(channel, groups)
            self._channels[channel] = groups
        group = groups.get(key)
        if group is None:
            group = groups.add(Group(key, filters, encode, groups, self._turns, events=events))
        group.holds += 1
        return group

    @property
    def groups(self) -> int:
        """How many groups there are, in all channels."""
        return sum(groups.size for groups in self._channels.values())

    @property
    def waiting(self) -> int:
        """Entries that wait for filters that take long, in all channels."""
        return sum(groups.waiting for groups in self._channels.values())

    @property
    def waiting_bytes(self) -> int:
        """Bytes of those."""
        return self._turns.waiting_bytes

    def _forget(self, channel: Channel, groups: "_ChannelGroups") -> None:
        """Let go of a channel's groups: there are none left, or nothing feeds them any more."""
        del self._channels[channel]
        self._hub.leave(channel, groups)


class Group:
    """Members that are given the same bytes of the same messages."""

    __slots__ = (
        "_encoding",
        "_groups",
        "_kept",
        "_kept_bytes",
        "_turns",
        "encode",
        "events",
        "filters",
        "holds",
        "key",
        "members",
    )

    def __init__(
        self,
        key: Hashable,
        filters: CompiledFilters,
        encode: Encode,
        groups: "_ChannelGroups",
        turns: MatchingTurns,
        *,
        events: bool,
    ) -> None:
        self.key = key
        self.encode = encode
        self.events = events
        self.filters = filters
        self.members = Members("channelEvents" if events else "messages")
        self.holds = 0
        """Replays that are on their way to the group."""
        self._groups = groups
        self._turns = turns
        self._encoding: dict[_Place, asyncio.Task[list[Slice]]] = {}
        self._kept: OrderedDict[_Place, list[Slice]] = OrderedDict()
        self._kept_bytes = 0

    def add(self, member: Member) -> Callable[[], None]:
        """Give a member what is dispatched from now on; return what ends that. Idempotent.

        Raises:
            DeliveryFailed: nothing feeds the group any more, since it was held.
        """
        if self._groups.over:
            raise DeliveryFailed
        self.members.add(member, self._groups.dispatched)
        return partial(self._remove, member)

    def release(self) -> None:
        """Undo one `hold`."""
        self.holds -= 1
        if not self.holds:
            for encoding in self._encoding.values():
                encoding.cancel()  # whoever waited for it has left
            self._encoding.clear()
            self._kept.clear()
            self._kept_bytes = 0
            self._groups.forget_if_empty(self)

    async def encoded(self, entries: Sequence[Entry]) -> "Sequence[Slice]":
        """Return the bytes of consecutive entries; of messages, of those the filters accept.

        A thousand clients that resume from one place share the work: what is stored never
        changes, so its bytes are kept while several replay, up to 4 MiB.

        Args:
            entries: at least one.
        """
        first, last = entries[0].sequence, entries[-1].sequence
        if self.holds == 1 or first is None or last is None:
            return await self._slices(entries)
        # Their number: of what was read before a removal, and comes here after it.
        place = self._groups.removals, first, last, len(entries)
        kept = self._kept.get(place)
        if kept is not None:
            self._kept.move_to_end(place)
            return kept
        encoding = self._encoding.get(place)
        if encoding is None:
            encoding = self._encoding[place] = asyncio.create_task(self._slices(entries))
            encoding.add_done_callback(partial(self._keep, place))
        # Shielded: whoever leaves must not take it from the others.
        return await asyncio.shield(encoding)

    async def _slices(self, entries: Sequence[Entry]) -> "list[Slice]":
        slices: list[Slice] = []
        payloads: list[bytes] = []
        size = looked_at = 0
        filters = self.filters
        for entry in entries:
            looked_at += entry.size
            if looked_at > _LOOK_BYTES:
                looked_at = 0
                await asyncio.sleep(0)  # data is decoded for the filters: others may go first
            if not isinstance(entry, Message):
                accepted = self.events
            elif filters.light:
                accepted = filters.accept(entry)
            else:
                accepted = await self._turns.accept(filters, entry)
            if not accepted:
                continue
            payload = self.encode(entry)
            payloads.append(payload)
            size += len(payload)
            if size >= _SLICE_BYTES:
                slices.append((payloads, size))
                payloads, size = [], 0
        if payloads:
            slices.append((payloads, size))
        return slices

    async def give_alone(self, member: Member, entry: Entry) -> None:
        """Give one member an entry that the others are not given, if the group would be."""
        filters = self.filters
        if not isinstance(entry, Message):
            accepted = self.events
        elif filters.light:
            accepted = filters.accept(entry)
        else:
            accepted = await self._turns.accept(filters, entry)
        if accepted and member in self.members:
            member.receive((self.encode(entry),))

    def _keep(self, place: "_Place", done: "asyncio.Task[list[Slice]]") -> None:
        failed = done.cancelled() or done.exception() is not None
        if self._encoding.get(place) is not done:
            return  # forgotten meanwhile
        del self._encoding[place]
        if failed:
            return
        self._kept[place] = done.result()
        self._kept_bytes += _bytes_of(done.result())
        while self._kept_bytes > _KEPT_BYTES_MAX:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= _bytes_of(dropped)

    def _remove(self, member: Member) -> None:
        if self.members.remove(member):
            self._groups.forget_if_empty(self)


Slice: TypeAlias = tuple[list[bytes], int]
"""Payloads that are given together, and their bytes in all."""
_Place: TypeAlias = tuple[int, int, int, int]
"""After how many removals consecutive entries were encoded, the first and the last sequence, and
how many they are."""


def _bytes_of(slices: Sequence[Slice]) -> int:
    return sum(size for _, size in slices)


_Groups: TypeAlias = dict[CompiledFilters, dict[Group, None]]
"""Groups by their filters, so that the same are asked once."""


class _ChannelGroups:
    """The groups of one channel; a subscriber of its feed."""

    def __init__(
        self,
        turns: MatchingTurns,
        times: DeliveryTimes,
        on_end: Callable[["_ChannelGroups"], None],
    ) -> None:
        self.dispatched = 0
        """How many times messages were dispatched to groups that are served later."""
        self.removals = 0
        """How many times messages were retracted or deleted, or the channel began to count anew:
        what was encoded before is not given again."""
        self.over = False
        """Whether the feed gives nothing more."""
        self._turns = turns
        self._times = times
        self._on_end = on_end
        self._groups: dict[Hashable, Group] = {}
        self._light: ByFilters[Group] = ByFilters()
        self._light_of_events: dict[Group, None] = {}
        self._slow: _Groups = {}
        self._waiting: deque[tuple[int, Entry]] = deque()
        self._waiting_bytes = 0
        self._serving: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        return len(self._groups)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def get(self, key: Hashable) -> Group | None:
        return self._groups.get(key)

    def add(self, group: Group) -> Group:
        self._groups[group.key] = group
        filters = group.filters
        if filters.light:
            self._light.add(group, filters)
            if group.events:
                self._light_of_events[group] = None
        else:
            self._slow.setdefault(filters, {})[group] = None
        return group

    def forget_if_empty(self, group: Group) -> None:
        """Forget a group that nobody is or becomes a member of; the last one takes the channel."""
        if group.members or group.holds or self._groups.get(group.key) is not group:
            return
        del self._groups[group.key]
        filters = group.filters
        if filters.light:
            self._light.remove(group, filters)
            self._light_of_events.pop(group, None)
        else:
            _remove(self._slow, group)
        if not self._groups:
            self._drop_waiting()
            if self._serving is not None and self._serving is not asyncio.current_task():
                self._serving.cancel()
            self._end()

    def deliver(self, entries: Sequence[Entry]) -> None:
        recorder = TRACES.recorder
        if recorder is None:
            self._deliver(entries)
            return
        messages = [one for one in entries if isinstance(one, Message)]
        if not messages:
            self._deliver(entries)
            return
        ids = [message.id for message in messages]
        with recorder.fan_out(messages[0].channel.key, ids) as recorded:
            groups = self._deliver(entries)
            if recorded is not None:
                recorded.given(len(groups), sum(len(group.members) for group in groups))

    def _deliver(self, entries: Sequence[Entry]) -> Collection[Group]:
        """Give the entries to whom they concern at once; return those groups."""
        payloads: dict[Group, list[bytes]] = {}
        broken: dict[Group, Exception] = {}
        for entry in entries:
            concerned = (
                self._accepting(entry, broken)
                if isinstance(entry, Message)
                else self._of_events(entry)
            )
            for group in concerned:
                if not group.members:
                    continue
                try:
                    payloads.setdefault(group, []).append(group.encode(entry))
                except Exception as error:
                    broken.setdefault(group, error)
        if broken:
            example = next(iter(broken.values()))
            logger.error("an entry failed %d groups", len(broken), exc_info=example)
        for group in broken:
            payloads.pop(group, None)
            self._drop(group, DeliveryFailed())
        for group, encoded in payloads.items():
            group.members.give(encoded)
            self.forget_if_empty(group)
        if payloads:
            self._times.given(entries[-1])
        if self._slow:
            self._serve_later(entries)
        return payloads

    def _accepting(self, message: Message, broken: dict[Group, Exception]) -> Iterator[Group]:
        for filters, groups in self._light.candidates(message):
            try:
                accepted = filters.accept(message)
            except Exception as error:
                broken.update(dict.fromkeys(groups, error))
                continue
            if accepted:
                yield from groups

    def _of_events(self, entry: Entry) -> Sequence[Group]:
        if isinstance(entry, Retraction):
            self.removals += 1
        return tuple(self._light_of_events)

    def dropped(self) -> None:
        """Let everybody go: the feed gives nothing more."""
        self._end()  # whoever comes next must not find a group that nothing feeds
        for group in tuple(self._groups.values()):
            self._drop(group, DeliveryFailed())

    def restarted(self, position: int) -> None:  # noqa: ARG002 - a Subscriber
        """Give no more bytes of messages that have lost their places."""
        self.removals += 1

    def removed(self) -> None:
        """Give no more bytes of messages that may be gone; what was given is not taken back."""
        self.removals += 1

    def _end(self) -> None:
        if not self.over:
            self.over = True
            self._on_end(self)

    def _drop(self, group: Group, error: SubscriberTooSlow) -> None:
        group.members.drop(error)
        self.forget_if_empty(group)

    # Groups whose filters may take long.

    def _serve_later(self, entries: Sequence[Entry]) -> None:
        self.dispatched += 1
        for entry in entries:
            self._waiting.append((self.dispatched, entry))
            self._count(entry.size)
        if len(self._waiting) > _WAITING_MAX:
            self._fall_behind("entries", len(self._waiting), _WAITING_MAX)
        elif self._waiting_bytes > _WAITING_BYTES_MAX:
            self._fall_behind("bytes", self._waiting_bytes, _WAITING_BYTES_MAX)
        elif self._turns.waiting_bytes > _ALL_WAITING_BYTES_MAX:
            self._fall_behind(
                "bytes of all channels", self._turns.waiting_bytes, _ALL_WAITING_BYTES_MAX
            )
        elif self._serving is None:
            self._serving = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        try:
            while self._waiting:
                dispatch, entry = self._waiting.popleft()
                self._count(-entry.size)
                for filters in tuple(self._slow):
                    if filters in self._slow:
                        await self._serve_alike(filters, entry, dispatch)
        finally:
            self._serving = None

    async def _serve_alike(self, filters: CompiledFilters, entry: Entry, dispatch: int) -> None:
        try:
            chosen = isinstance(entry, Message)
            if isinstance(entry, Message) and not await self._turns.accept(filters, entry):
                return
            for group in tuple(self._slow.get(filters, ())):
                if group.members and (chosen or group.events):
                    group.members.give((group.encode(entry),), dispatch)
                self.forget_if_empty(group)
        except Exception:
            logger.exception("an entry failed groups whose filters take long")
            for group in tuple(self._slow.get(filters, ())):
                self._drop(group, DeliveryFailed())

    def _count(self, size: int) -> None:
        self._waiting_bytes += size
        self._turns.waiting_bytes += size

    def _drop_waiting(self) -> None:
        self._waiting.clear()
        self._count(-self._waiting_bytes)

    def _fall_behind(self, what: str, came: int, allowed: int) -> None:
        """Let the groups go that cannot keep up: their clients resume from their cursors."""
        self._drop_waiting()
        error = SubscriberTooSlow(
            f"{came} {what} wait for filters that take long, at most {allowed} may"
        )
        logger.warning(
            "filters on a channel cannot keep up: %s",
            error.message,
            extra=event("filters.too_slow", waiting=came),
        )
        for group in [one for alike in self._slow.values() for one in alike]:
            self._drop(group, error)


def _remove(groups: _Groups, group: Group) -> None:
    alike = groups[group.filters]
    del alike[group]
    if not alike:
        del groups[group.filters]
