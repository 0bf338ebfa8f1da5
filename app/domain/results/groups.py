"""Groups of messages: how many each has, and what the values of fields come to in it."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any, Final

from app.domain.json_value import decode_json, encode_json
from app.domain.message import Message
from app.domain.query.equality import json_key
from app.domain.query.fields import FieldPath
from app.domain.query.matching import MISSING, field_getter
from app.domain.query.message_query import AggregateSort, MessageQuery
from app.domain.query.ordering import Descending, OrderKey, order_key
from app.domain.results.effect import Effect
from app.domain.results.found import AggregateRow, GroupRow
from app.domain.results.large import is_large
from app.domain.results.tally import Tally

__all__ = ["FoundGroup", "KeptGroups"]

_BYTES: Final = 500
_NONE_LAST: Final[OrderKey] = ()


@dataclass(frozen=True, slots=True)
class FoundGroup:
    """A group as it was read."""

    key: Any
    """Decoded JSON, as the first message writes it."""
    count: int
    first: int
    """The sequence of its first message."""
    tallies: Mapping[FieldPath, Tally]


class _Group:
    __slots__ = ("count", "first", "key_json", "order", "tallies")

    def __init__(self, key: Any, first: int, tallies: Mapping[FieldPath, Tally]) -> None:
        self.key_json = encode_json(key)
        self.order = order_key(key)
        self.count = 0
        self.first = first
        self.tallies = tallies

    @property
    def size(self) -> int:
        tallies = sum(tally.size for tally in self.tallies.values())
        return _BYTES + 4 * len(self.key_json) + tallies


class KeptGroups:
    """All groups of the messages that match."""

    __slots__ = ("_by_key_json", "_distinct", "_getters", "_groups", "_key_of", "_place_of", "size")

    def __init__(self, query: MessageQuery, fields: Mapping[FieldPath, bool]) -> None:
        """Begin with no groups.

        Args:
            query: with `group_by`; its order.
            fields: whose values are tallied in each group, and whether their different values
                are counted.
        """
        assert query.group_by is not None, "groups require a query with groupBy"
        self.size = 0
        """Bytes of memory, roughly."""
        self._key_of = field_getter(query.group_by)
        self._distinct = dict(fields)
        self._getters = [(field, field_getter(field)) for field in fields]
        self._place_of = _placing(query)
        self._groups: dict[Hashable, _Group] = {}
        self._by_key_json: dict[bytes, _Group] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def fill(self, groups: Iterable[FoundGroup]) -> None:
        """Begin with the groups that were read: all of them."""
        self._groups.clear()
        self._by_key_json.clear()
        self.size = 0
        for found in groups:
            group = _Group(found.key, found.first, found.tallies)
            group.count = found.count
            self._keep(json_key(found.key), group)

    def page(self, offset: int, limit: int) -> list[GroupRow]:
        """Return groups in the query's order."""
        first = nsmallest(offset + limit, self._groups.values(), key=self._place_of)
        return [GroupRow(group.key_json, group.count) for group in first[offset:]]

    def aggregate(self, key_json: bytes, field: FieldPath) -> AggregateRow:
        """Return what a tallied field comes to in a group; nothing where it is gone."""
        group = self._by_key_json.get(key_json)
        if group is None:  # elsewhere the key may have been written in another way
            group = self._groups.get(json_key(decode_json(key_json)))
        return AggregateRow() if group is None else group.tallies[field].row

    def add(self, message: Message) -> Effect:
        """Count a message in its group."""
        key = self._key(message)
        values = [get(message) for _, get in self._getters]
        if any(map(is_large, (key, *values))):
            return Effect.TOO_LARGE
        place = json_key(key)
        group = self._groups.get(place)
        if group is None:
            assert message.sequence is not None, "only what is stored is searched"
            tallies = {
                field: Tally(counts_distinct=distinct) for field, distinct in self._distinct.items()
            }
            group = _Group(key, message.sequence, tallies)
            self._keep(place, group)
        group.count += 1
        for (field, _), value in zip(self._getters, values, strict=True):
            tally = group.tallies[field]
            self.size -= tally.size
            tally.add(value)
            self.size += tally.size
        return Effect.CHANGED

    def remove(self, message: Message) -> Effect:
        """Count a message no more that was counted before."""
        key = self._key(message)
        if any(map(is_large, (key, *(get(message) for _, get in self._getters)))):
            return Effect.TOO_LARGE
        place = json_key(key)
        group = self._groups[place]
        group.count -= 1
        if not group.count:
            del self._groups[place], self._by_key_json[group.key_json]
            self.size -= group.size
            return Effect.CHANGED
        # The group is shown by its first message; which is the next one is not known.
        effect = Effect.LOST if group.first == message.sequence else Effect.CHANGED
        for field, get in self._getters:
            tally = group.tallies[field]
            self.size -= tally.size
            if tally.remove(get(message)) is Effect.LOST:
                effect = Effect.LOST
            self.size += tally.size
        return effect

    def _key(self, message: Message) -> Any:
        key = self._key_of(message)
        return None if key is MISSING else key

    def _keep(self, place: Hashable, group: _Group) -> None:
        self._groups[place] = self._by_key_json[group.key_json] = group
        self.size += group.size


def _placing(query: MessageQuery) -> Callable[[_Group], Any]:
    """Return what tells where a group stands: ties go by the groups' first messages."""
    sort, descending = query.sort_field, query.is_descending
    if isinstance(sort, AggregateSort):
        function, field = sort.function, sort.field

        def by_aggregate(group: _Group) -> Any:
            value = group.tallies[field].sort_value(function)
            if value is None:
                return 1, _NONE_LAST, group.first
            return 0, Descending(value) if descending else value, group.first

        return by_aggregate
    if sort == "key":
        if descending:
            return lambda group: Descending(group.order)
        return lambda group: group.order
    if descending:
        return lambda group: (-group.count, group.first)
    return lambda group: (group.count, group.first)
