"""Fan-out: one message to many members, filtered and encoded once for all that are alike.

Members who want the same bytes of the same messages form a group. A channel's groups are
one subscriber of its feed. Groups that ask for one field to equal one value are found by
that value: ten thousand different ones cost a look-up, not ten thousand evaluations. Groups
whose filters may take long are served by a task, in turns: they hold up nobody else.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeAlias

from app.delivery.hub import Hub
from app.delivery.matching_turns import MatchingTurns
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import CompiledFilters, FieldPath
from app.domain.query.equality import scalar_key
from app.domain.query.matching import field_getter
from app.errors import SubscriberTooSlow

__all__ = ["Encode", "FanOut", "Member"]

logger = logging.getLogger(__name__)

_WAITING_MAX: Final = 10_000
"""Messages of a channel that wait for filters that take long."""
_WAITING_BYTES_MAX: Final = 4 * 1024 * 1024
_ALL_WAITING_BYTES_MAX: Final = 32 * 1024 * 1024
"""The same for all channels together; beyond it the channel that has one more falls behind."""

Encode: TypeAlias = Callable[[Message], bytes]
"""Makes the bytes that every member of a group is given for a message."""


class Member(Protocol):
    """Whoever is given a group's bytes."""

    def receive(self, payloads: Sequence[bytes]) -> None:
        """Take the next ones, in order. Must not raise or block."""

    def fell_behind(self, error: SubscriberTooSlow) -> None:
        """Take note that messages were left out, and leave. Must not raise or block."""


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

    def join(
        self,
        channel: Channel,
        key: Hashable,
        filters: CompiledFilters,
        encode: Encode,
        member: Member,
    ) -> Callable[[], None]:
        """Add a member; return what removes it again. That is idempotent.

        The member is given what the channel's feed dispatches from now on.

        Args:
            channel: its feed is open: somebody has joined it through the hub.
            key: equal for those whose filters and encoding are equal.
            filters: all must hold for a message to be given. Groups with the very same ones
                ask them once.
            encode: called once a message for the whole group.
            member: a new one.
        """
        groups = self._channels.get(channel)
        if groups is None:
            groups = self._channels[channel] = _ChannelGroups(self._turns)
            self._hub.join_open(channel, groups)
        group = groups.get(key)
        if group is None:
            group = groups.add(key, _Group(filters, encode))
        group.members[member] = groups.dispatched

        def leave() -> None:
            if member not in group.members:
                return
            del group.members[member]
            if not group.members:
                groups.remove(key)
                if not groups:
                    groups.close()
                    self._hub.leave(channel, groups)
                    del self._channels[channel]

        return leave


class _Group:
    """Members that are given the same bytes."""

    __slots__ = ("encode", "filters", "members")

    def __init__(self, filters: CompiledFilters, encode: Encode) -> None:
        self.encode = encode
        self.filters = filters
        self.members: dict[Member, int] = {}
        """How many times the channel had dispatched when each joined."""

    def encoded(self, message: Message) -> bytes | None:
        """Return what the members are given; None: it cannot be told."""
        try:
            return self.encode(message)
        except Exception:
            # A feed goes on whatever one group makes of a message.
            logger.exception("a message could not be encoded for a group")
            return None


_Groups: TypeAlias = dict[CompiledFilters, dict[_Group, None]]
"""Groups by their filters, so that the same are asked once."""


class _ByValue:
    """Groups that want one field to equal a value, by the value."""

    __slots__ = ("get", "groups")

    def __init__(self, field: FieldPath) -> None:
        self.get: Callable[[Message], Any] = field_getter(field)
        self.groups: dict[Hashable, _Groups] = {}


class _ChannelGroups:
    """The groups of one channel; a subscriber of its feed."""

    def __init__(self, turns: MatchingTurns) -> None:
        self.dispatched = 0
        """How many times messages were dispatched to groups that are served later."""
        self._turns = turns
        self._groups: dict[Hashable, _Group] = {}
        self._others: _Groups = {}
        self._by_value: dict[FieldPath, _ByValue] = {}
        self._slow: _Groups = {}
        self._waiting: deque[tuple[int, Message]] = deque()
        self._waiting_bytes = 0
        self._serving: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._groups)

    def get(self, key: Hashable) -> _Group | None:
        return self._groups.get(key)

    def add(self, key: Hashable, group: _Group) -> _Group:
        self._groups[key] = group
        filters = group.filters
        if not filters.light:
            groups = self._slow
        elif filters.equality is None:
            groups = self._others
        else:
            field, value = filters.equality
            by_value = self._by_value.setdefault(field, _ByValue(field))
            groups = by_value.groups.setdefault(value, {})
        groups.setdefault(filters, {})[group] = None
        return group

    def remove(self, key: Hashable) -> None:
        group = self._groups.pop(key)
        filters = group.filters
        if not filters.light:
            _remove(self._slow, group)
        elif filters.equality is None:
            _remove(self._others, group)
        else:
            field, value = filters.equality
            by_value = self._by_value[field].groups
            _remove(by_value[value], group)
            if not by_value[value]:
                del by_value[value]
            if not by_value:
                del self._by_value[field]

    def close(self) -> None:
        """Serve nobody any more: all have left."""
        self._drop_waiting()
        if self._serving is not None:
            self._serving.cancel()

    def deliver(self, messages: Sequence[Message]) -> None:
        payloads: dict[_Group, list[bytes]] = {}
        for message in messages:
            for filters, groups in self._concerned(message):
                try:
                    accepted = filters.accept(message)
                except Exception:
                    logger.exception("a message could not be filtered for a group")
                    continue
                if accepted:
                    for group in groups:
                        if (payload := group.encoded(message)) is not None:
                            payloads.setdefault(group, []).append(payload)
        for group, encoded in payloads.items():
            for member in tuple(group.members):  # one that falls behind may leave meanwhile
                member.receive(encoded)
        if self._slow:
            self._serve_later(messages)

    def _concerned(self, message: Message) -> Iterator[tuple[CompiledFilters, dict[_Group, None]]]:
        yield from self._others.items()
        for by_value in self._by_value.values():
            value = scalar_key(by_value.get(message))
            if value is not None:
                yield from by_value.groups.get(value, {}).items()

    # Groups whose filters may take long.

    def _serve_later(self, messages: Sequence[Message]) -> None:
        self.dispatched += 1
        for message in messages:
            self._waiting.append((self.dispatched, message))
            self._count(len(message.data_json))
        if len(self._waiting) > _WAITING_MAX:
            self._fall_behind("messages", len(self._waiting), _WAITING_MAX)
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
                dispatched, message = self._waiting.popleft()
                self._count(-len(message.data_json))
                for filters in tuple(self._slow):
                    if filters in self._slow and await self._accept_in_turn(filters, message):
                        for group in tuple(self._slow.get(filters, ())):
                            self._give(group, message, dispatched)
        finally:
            self._serving = None

    def _count(self, size: int) -> None:
        self._waiting_bytes += size
        self._turns.waiting_bytes += size

    def _drop_waiting(self) -> None:
        self._waiting.clear()
        self._count(-self._waiting_bytes)

    async def _accept_in_turn(self, filters: CompiledFilters, message: Message) -> bool:
        try:
            return await self._turns.accept(filters, message)
        except Exception:
            logger.exception("a message could not be filtered for a group")
            return False

    @staticmethod
    def _give(group: _Group, message: Message, dispatched: int) -> None:
        payload = group.encoded(message)
        if payload is None:
            return
        for member, joined_at in tuple(group.members.items()):
            # Who has joined since has had this message before, or asked for none so old.
            if joined_at < dispatched:
                member.receive((payload,))

    def _fall_behind(self, what: str, came: int, allowed: int) -> None:
        """Let the groups go that cannot keep up: their clients resume from their cursors."""
        self._drop_waiting()
        error = SubscriberTooSlow(
            f"{came} {what} wait for filters that take long, at most {allowed} may"
        )
        logger.warning("filters on a channel cannot keep up: %s", error.message)
        for groups in tuple(self._slow.values()):
            for group in tuple(groups):
                for member in tuple(group.members):
                    member.fell_behind(error)


def _remove(groups: _Groups, group: _Group) -> None:
    alike = groups[group.filters]
    del alike[group]
    if not alike:
        del groups[group.filters]
