"""Fan-out: one message to many members, filtered and encoded once for all that are alike.

Members who want the same bytes of the same messages form a group. A channel's groups are
one subscriber of its feed. Groups that ask for one field to equal one value are found by
that value: ten thousand different ones cost a look-up, not ten thousand evaluations.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeAlias

from app.delivery.hub import Hub
from app.delivery.members import Member, Members
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import Comparison, FieldPath, Filter, Operator, compile_filter
from app.domain.query.matching import field_getter

__all__ = ["Encode", "FanOut", "Group"]

logger = logging.getLogger(__name__)

Encode: TypeAlias = Callable[[Message], Any]
"""Makes the bytes that every member of a group is given for a message, without waiting."""

_Value: TypeAlias = tuple[str, Hashable]

_SLICE_BYTES: Final = 64 * 1024
"""Of a replay given at once: its reader is waited for in between."""
_KEPT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of a group's encoded replay; what was used least recently goes first."""


class FanOut:
    """The groups of all channels of this process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._channels: dict[Channel, _ChannelGroups] = {}

    def hold(
        self, channel: Channel, key: Hashable, filters: Sequence[Filter], encode: Encode
    ) -> "Group":
        """Return a group, kept until each who held it has released it and its members left.

        Args:
            channel: its feed is open: somebody has joined it through the hub.
            key: equal for those whose filters and encoding are equal.
            filters: all must hold for a message to be given.
            encode: called once a message for the whole group.

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
            on_empty = partial(self._forget, channel, groups, key)
            group = groups.add(key, Group(filters, encode, on_empty))
        group.holds += 1
        return group

    def _forget(self, channel: Channel, groups: "_ChannelGroups", key: Hashable) -> None:
        groups.remove(key)
        # Groups that were dropped with their feed are in no table any more.
        if not groups and self._channels.get(channel) is groups:
            del self._channels[channel]
            self._hub.leave(channel, groups)


class Group:
    """Members that are given the same bytes of the same messages."""

    __slots__ = (
        "_encode",
        "_forgotten",
        "_kept",
        "_kept_bytes",
        "_on_empty",
        "_tests",
        "holds",
        "members",
        "value_wanted",
    )

    def __init__(
        self, filters: Sequence[Filter], encode: Encode, on_empty: Callable[[], None]
    ) -> None:
        self._encode = encode
        self._on_empty = on_empty
        self._forgotten = False
        self._tests = [compile_filter(one) for one in filters]
        self.value_wanted = next(filter(None, map(_value_wanted, filters)), None)
        self.members = Members()
        self.holds = 0
        """Replays on their way to become members."""
        self._kept: OrderedDict[tuple[int, int], list[_Slice]] = OrderedDict()
        self._kept_bytes = 0

    def add(self, member: Member) -> Callable[[], None]:
        """Give a member what is dispatched from now on; return what ends that. Idempotent."""
        self.members.add(member)
        return partial(self._remove, member)

    def release(self) -> None:
        """Undo one `hold`."""
        self.holds -= 1
        if not self.holds:
            self._kept.clear()
            self._kept_bytes = 0
            self._forget_if_empty()

    def payload(self, message: Message) -> bytes | None:
        """Return a message's bytes; None: the filters refuse it."""
        if not all(test(message) for test in self._tests):
            return None
        payload: bytes = self._encode(message)
        return payload

    def encoded(self, messages: Sequence[Message]) -> "Sequence[_Slice]":
        """Return the bytes of consecutive messages in slices of about 64 KiB.

        A thousand clients that resume from one place share the work: stored messages never
        change, so their bytes are kept while somebody replays, up to 4 MiB.
        """
        first, last = messages[0].sequence, messages[-1].sequence
        if first is None or last is None:
            return self._sliced(messages)
        kept = self._kept.get((first, last))
        if kept is None:
            kept = self._kept[first, last] = self._sliced(messages)
            self._kept_bytes += sum(size for _, size in kept)
            while self._kept_bytes > _KEPT_BYTES_MAX:
                _, dropped = self._kept.popitem(last=False)
                self._kept_bytes -= sum(size for _, size in dropped)
        else:
            self._kept.move_to_end((first, last))
        return kept

    def _sliced(self, messages: Sequence[Message]) -> "list[_Slice]":
        slices: list[_Slice] = []
        payloads: list[bytes] = []
        size = 0
        for message in messages:
            payload = self.payload(message)
            if payload is None:
                continue
            payloads.append(payload)
            size += len(payload)
            if size >= _SLICE_BYTES:
                slices.append((payloads, size))
                payloads, size = [], 0
        if payloads:
            slices.append((payloads, size))
        return slices

    def give(self, payloads: Sequence[bytes]) -> None:
        """Give the members a message's bytes, or several messages'."""
        self.members.give(payloads)
        self._forget_if_empty()

    def drop(self) -> None:
        """Let all members go: they miss something from here on."""
        self.members.drop()
        self._forget_if_empty()

    def _remove(self, member: Member) -> None:
        if self.members.remove(member):
            self._forget_if_empty()

    def _forget_if_empty(self) -> None:
        if not (self._forgotten or self.members or self.holds):
            self._forgotten = True
            self._on_empty()


_Slice: TypeAlias = tuple[list[bytes], int]
"""Payloads and their bytes in all."""


class _ChannelGroups:
    """The groups of one channel; a subscriber of its feed."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, Group] = {}
        self._unindexed: dict[Group, None] = {}
        self._by_value: dict[FieldPath, dict[_Value, dict[Group, None]]] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def get(self, key: Hashable) -> Group | None:
        return self._groups.get(key)

    def add(self, key: Hashable, group: Group) -> Group:
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
        payloads: dict[Group, list[bytes]] = {}
        broken: dict[Group, Exception] = {}
        for message in messages:
            for group in self._concerned(message):
                if not group.members:
                    continue
                try:
                    payload = group.payload(message)
                except Exception as error:
                    broken.setdefault(group, error)
                else:
                    if payload is not None:
                        payloads.setdefault(group, []).append(payload)
        for group, why in broken.items():
            payloads.pop(group, None)
            logger.error("a message could not be encoded for a group", exc_info=why)
            group.drop()
        for group, encoded in payloads.items():
            group.give(encoded)

    def dropped(self) -> None:
        """Let everybody go: the feed gives nothing more."""
        for group in tuple(self._groups.values()):
            group.drop()

    def _concerned(self, message: Message) -> Iterator[Group]:
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
