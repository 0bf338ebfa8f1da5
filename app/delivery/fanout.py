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
from typing import Any, Final, TypeAlias

from app.delivery.hub import Hub
from app.delivery.matching_turns import MatchingTurns
from app.delivery.members import Member, Members
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import CompiledFilters, FieldPath
from app.domain.query.equality import scalar_key
from app.domain.query.matching import field_getter
from app.errors import DeliveryFailed, SubscriberTooSlow

__all__ = ["Encode", "FanOut"]

logger = logging.getLogger(__name__)

_WAITING_MAX: Final = 10_000
"""Messages of a channel that wait for filters that take long."""
_WAITING_BYTES_MAX: Final = 4 * 1024 * 1024
_ALL_WAITING_BYTES_MAX: Final = 32 * 1024 * 1024
"""The same for all channels together; beyond it the channel that has one more falls behind."""

Encode: TypeAlias = Callable[[Message], bytes]
"""Makes the bytes that every member of a group is given for a message."""


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

        Raises:
            Unavailable: the channel's feed is not open.
        """
        groups = self._channels.get(channel)
        if groups is None:
            groups = _ChannelGroups(self._turns, lambda groups: self._forget(channel, groups))
            # First: groups that nothing feeds must not be found by the next one.
            self._hub.join_open(channel, groups)
            self._channels[channel] = groups
        group = groups.get(key)
        if group is None:
            group = groups.add(_Group(key, filters, encode))
        group.members.add(member, groups.dispatched)

        def leave() -> None:
            if group.members.remove(member):
                groups.forget_if_empty(group)

        return leave

    def _forget(self, channel: Channel, groups: "_ChannelGroups") -> None:
        """Let go of a channel that has no groups any more."""
        del self._channels[channel]
        self._hub.leave(channel, groups)


class _Group:
    """Members that are given the same bytes."""

    __slots__ = ("encode", "filters", "key", "members")

    def __init__(self, key: Hashable, filters: CompiledFilters, encode: Encode) -> None:
        self.key = key
        self.encode = encode
        self.filters = filters
        self.members = Members()


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

    def __init__(self, turns: MatchingTurns, on_empty: Callable[["_ChannelGroups"], None]) -> None:
        self.dispatched = 0
        """How many times messages were dispatched to groups that are served later."""
        self._turns = turns
        self._on_empty = on_empty
        self._groups: dict[Hashable, _Group] = {}
        self._others: _Groups = {}
        self._by_value: dict[FieldPath, _ByValue] = {}
        self._slow: _Groups = {}
        self._waiting: deque[tuple[int, Message]] = deque()
        self._waiting_bytes = 0
        self._serving: asyncio.Task[None] | None = None

    def get(self, key: Hashable) -> _Group | None:
        return self._groups.get(key)

    def add(self, group: _Group) -> _Group:
        self._groups[group.key] = group
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

    def forget_if_empty(self, group: _Group) -> None:
        """Forget a group that has no members any more; the last one takes the channel along."""
        if group.members or self._groups.get(group.key) is not group:
            return
        del self._groups[group.key]
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
        if not self._groups:
            self._drop_waiting()
            if self._serving is not None and self._serving is not asyncio.current_task():
                self._serving.cancel()
            self._on_empty(self)

    def deliver(self, messages: Sequence[Message]) -> None:
        payloads: dict[_Group, list[bytes]] = {}
        broken: dict[_Group, Exception] = {}
        for message in messages:
            for filters, groups in self._concerned(message):
                try:
                    accepted = filters.accept(message)
                except Exception as error:
                    broken.update(dict.fromkeys(groups, error))
                    continue
                for group in groups if accepted else ():
                    try:
                        payloads.setdefault(group, []).append(group.encode(message))
                    except Exception as error:
                        broken.setdefault(group, error)
        if broken:
            example = next(iter(broken.values()))
            logger.error("a message failed %d groups", len(broken), exc_info=example)
        for group in broken:
            payloads.pop(group, None)
            self._drop(group, DeliveryFailed())
        for group, encoded in payloads.items():
            group.members.give(encoded)
            self.forget_if_empty(group)
        if self._slow:
            self._serve_later(messages)

    def dropped(self) -> None:
        """Let everybody go: the feed gives nothing more."""
        for group in tuple(self._groups.values()):
            self._drop(group, DeliveryFailed())

    def restarted(self, position: int) -> None:
        """Groups know no places."""

    def _drop(self, group: _Group, error: SubscriberTooSlow) -> None:
        group.members.drop(error)
        self.forget_if_empty(group)

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
                dispatch, message = self._waiting.popleft()
                self._count(-len(message.data_json))
                for filters in tuple(self._slow):
                    if filters in self._slow:
                        await self._serve_alike(filters, message, dispatch)
        finally:
            self._serving = None

    async def _serve_alike(self, filters: CompiledFilters, message: Message, dispatch: int) -> None:
        try:
            if not await self._turns.accept(filters, message):
                return
            for group in tuple(self._slow.get(filters, ())):
                group.members.give((group.encode(message),), dispatch)
                self.forget_if_empty(group)
        except Exception:
            logger.exception("a message failed groups whose filters take long")
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
        logger.warning("filters on a channel cannot keep up: %s", error.message)
        for group in [one for alike in self._slow.values() for one in alike]:
            self._drop(group, error)


def _remove(groups: _Groups, group: _Group) -> None:
    alike = groups[group.filters]
    del alike[group]
    if not alike:
        del groups[group.filters]
