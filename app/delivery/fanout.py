"""Fan-out: one message to many members, filtered and encoded once for all that are alike.

Members who want the same bytes of the same messages form a group. A channel's groups are
one subscriber of its feed. Groups that ask for one field to equal one value are found by
that value: ten thousand different ones cost a look-up, not ten thousand evaluations.
"""

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from decimal import Decimal
from typing import Protocol, TypeAlias

from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import Comparison, FieldPath, Filter, Operator, compile_filter
from app.domain.query.matching import field_getter

__all__ = ["Encode", "FanOut", "Member"]

logger = logging.getLogger(__name__)

Encode: TypeAlias = Callable[[Message], bytes]
"""Makes the bytes that every member of a group is given for a message."""

_Value: TypeAlias = tuple[str, Hashable]


class Member(Protocol):
    """Whoever is given a group's bytes."""

    def receive(self, payloads: Sequence[bytes]) -> None:
        """Take the next ones, in order. Must not block. One that raises is dropped."""

    def dropped(self) -> None:
        """Take note that something broke and nothing more is given.

        Closes what is behind it so that its client comes back and resumes.
        """


class FanOut:
    """The groups of all channels of this process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._channels: dict[Channel, _ChannelGroups] = {}

    def join(
        self,
        channel: Channel,
        key: Hashable,
        filters: Sequence[Filter],
        encode: Encode,
        member: Member,
    ) -> Callable[[], None]:
        """Add a member; return what removes it again. That is idempotent.

        The member is given what the channel's feed dispatches from now on.

        Args:
            channel: its feed is open: somebody has joined it through the hub.
            key: equal for those whose filters and encoding are equal.
            filters: all must hold for a message to be given.
            encode: called once a message for the whole group.
            member: a new one.

        Raises:
            Unavailable: the channel's feed is not open.
        """
        groups = self._channels.get(channel)
        if groups is None:
            groups = _ChannelGroups(lambda groups: self._forget(channel, groups))
            # First: groups that nothing feeds must not be found by the next one.
            self._hub.join_open(channel, groups)
            self._channels[channel] = groups
        group = groups.get(key)
        if group is None:
            group = groups.add(key, _Group(key, filters, encode))
        group.members[member] = None

        def leave() -> None:
            if group.members.pop(member, group) is None and not group.members:
                groups.remove(group)

        return leave

    def _forget(self, channel: Channel, groups: "_ChannelGroups") -> None:
        """Let go of a channel that has no groups any more."""
        del self._channels[channel]
        self._hub.leave(channel, groups)


class _Group:
    """Members that are given the same bytes."""

    __slots__ = ("encode", "key", "members", "tests", "value_wanted")

    def __init__(self, key: Hashable, filters: Sequence[Filter], encode: Encode) -> None:
        self.key = key
        self.encode = encode
        self.members: dict[Member, None] = {}
        self.value_wanted = next(filter(None, map(_value_wanted, filters)), None)
        self.tests = [compile_filter(one) for one in filters]

    def accepts(self, message: Message) -> bool:
        return all(test(message) for test in self.tests)


class _ChannelGroups:
    """The groups of one channel; a subscriber of its feed."""

    def __init__(self, on_empty: Callable[["_ChannelGroups"], None]) -> None:
        self._on_empty = on_empty
        self._groups: dict[Hashable, _Group] = {}
        self._unindexed: dict[_Group, None] = {}
        self._by_value: dict[FieldPath, dict[_Value, dict[_Group, None]]] = {}

    def get(self, key: Hashable) -> _Group | None:
        return self._groups.get(key)

    def add(self, key: Hashable, group: _Group) -> _Group:
        self._groups[key] = group
        if group.value_wanted is None:
            self._unindexed[group] = None
        else:
            field, value = group.value_wanted
            self._by_value.setdefault(field, {}).setdefault(value, {})[group] = None
        return group

    def remove(self, group: _Group) -> None:
        """Forget a group that has no members any more."""
        del self._groups[group.key]
        if group.value_wanted is None:
            del self._unindexed[group]
        else:
            field, value = group.value_wanted
            by_value = self._by_value[field]
            del by_value[value][group]
            if not by_value[value]:
                del by_value[value]
            if not by_value:
                del self._by_value[field]
        if not self._groups:
            self._on_empty(self)

    def deliver(self, messages: Sequence[Message]) -> None:
        payloads: dict[_Group, list[bytes]] = {}
        broken: dict[_Group, Exception] = {}
        for message in messages:
            for group in self._concerned(message):
                try:
                    if group.accepts(message):
                        payloads.setdefault(group, []).append(group.encode(message))
                except Exception as error:
                    broken.setdefault(group, error)
        for group, why in broken.items():
            payloads.pop(group, None)
            logger.error("a message could not be encoded for a group", exc_info=why)
            self._drop(group, tuple(group.members))
        for group, encoded in payloads.items():
            self._give(group, encoded)

    def dropped(self) -> None:
        for group in tuple(self._groups.values()):
            self._drop(group, tuple(group.members))

    def restarted(self, position: int) -> None:
        """Groups know no places."""

    def _give(self, group: _Group, encoded: Sequence[bytes]) -> None:
        broken: dict[Member, Exception] = {}
        for member in tuple(group.members):  # one that falls behind may leave meanwhile
            try:
                member.receive(encoded)
            except Exception as error:
                broken[member] = error
        if broken:
            # They may be thousands, with one cause.
            example = next(iter(broken.values()))
            logger.error("%d members of a group failed", len(broken), exc_info=example)
            self._drop(group, tuple(broken))

    def _drop(self, group: _Group, members: Sequence[Member]) -> None:
        """Remove members that miss something from here on, and tell them."""
        there = [member for member in members if group.members.pop(member, group) is None]
        if there and not group.members:
            self.remove(group)
        for member in there:
            try:
                member.dropped()
            except Exception:
                logger.exception("a member of a group could not be dropped")

    def _concerned(self, message: Message) -> Iterator[_Group]:
        yield from self._unindexed
        for field, by_value in self._by_value.items():
            value = _indexed(field_getter(field)(message))
            if value is not None:
                yield from by_value.get(value, ())


def _value_wanted(one: Filter) -> tuple[FieldPath, _Value] | None:
    if isinstance(one, Comparison) and one.operator is Operator.EQ:
        value = _indexed(one.value)
        if value is not None:
            return one.field, value
    return None


def _indexed(value: object) -> _Value | None:
    # Tagged by JSON type: in Python True equals 1, in JSON it does not.
    if isinstance(value, str):
        return "string", value
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | Decimal):
        return "number", value
    return None
