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
        """Take the next ones, in order. Must not raise or block."""


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
            groups = _ChannelGroups()
            # First: groups that nothing feeds must not be found by the next one.
            self._hub.join_open(channel, groups)
            self._channels[channel] = groups
        group = groups.get(key)
        if group is None:
            group = groups.add(key, _Group(filters, encode))
        group.members[member] = None

        def leave() -> None:
            if member not in group.members:
                return
            del group.members[member]
            if not group.members:
                groups.remove(key)
                if not groups:
                    self._hub.leave(channel, groups)
                    del self._channels[channel]

        return leave


class _Group:
    """Members that are given the same bytes."""

    __slots__ = ("encode", "members", "tests", "value_wanted")

    def __init__(self, filters: Sequence[Filter], encode: Encode) -> None:
        self.encode = encode
        self.members: dict[Member, None] = {}
        self.value_wanted = next(filter(None, map(_value_wanted, filters)), None)
        self.tests = [compile_filter(one) for one in filters]

    def accepts(self, message: Message) -> bool:
        return all(test(message) for test in self.tests)


class _ChannelGroups:
    """The groups of one channel; a subscriber of its feed."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, _Group] = {}
        self._unindexed: dict[_Group, None] = {}
        self._by_value: dict[FieldPath, dict[_Value, dict[_Group, None]]] = {}

    def __len__(self) -> int:
        return len(self._groups)

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

    def remove(self, key: Hashable) -> None:
        group = self._groups.pop(key)
        if group.value_wanted is None:
            del self._unindexed[group]
            return
        field, value = group.value_wanted
        by_value = self._by_value[field]
        del by_value[value][group]
        if not by_value[value]:
            del by_value[value]
        if not by_value:
            del self._by_value[field]

    def deliver(self, messages: Sequence[Message]) -> None:
        payloads: dict[_Group, list[bytes]] = {}
        for message in messages:
            for group in self._concerned(message):
                try:
                    if group.accepts(message):
                        payloads.setdefault(group, []).append(group.encode(message))
                except Exception:
                    # A feed goes on whatever one group makes of a message.
                    logger.exception("a message could not be encoded for a group")
        for group, encoded in payloads.items():
            for member in tuple(group.members):  # one that falls behind may leave meanwhile
                member.receive(encoded)

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
