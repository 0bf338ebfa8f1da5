"""A page of messages in a query's order, and a few more behind it."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from app.domain.message import Message
from app.domain.query.fields import FieldPath
from app.domain.query.matching import MISSING, field_getter
from app.domain.query.message_query import MessageQuery
from app.domain.query.ordering import Descending, order_key
from app.domain.results.effect import Effect
from app.domain.results.large import is_large

__all__ = ["KeptPage"]

_RESERVE_MIN: Final = 10
_BYTES: Final = 700
"""Of a message besides its data, twice: it is decoded."""

_Place: TypeAlias = tuple[Any, ...]


class KeptPage:
    """The first messages in a query's order: those up to the page's end and some behind.

    What is behind takes the place of a message that is removed. `room` messages are kept.
    """

    __slots__ = ("_complete", "_end", "_place_of", "_places", "_rows", "_sort_of", "room", "size")

    def __init__(self, query: MessageQuery) -> None:
        """Begin with no messages.

        Args:
            query: without `group_by`; its order and its page.
        """
        self._end = query.offset + query.limit
        self.room = self._end + max(_RESERVE_MIN, query.limit // 4)
        self.size = 0
        """Bytes of memory, roughly."""
        self._sort_of = None if query.in_publish_order else _sort_getter(query)
        self._place_of = _placing(query)
        self._places: list[_Place] = []
        self._rows: list[Message] = []
        self._complete = True
        """Whether all messages are here: none is behind the last one."""

    def fill(self, messages: Sequence[Message]) -> None:
        """Begin with messages that were read.

        Args:
            messages: the first `room` + 1 in the query's order; fewer: there are no more.
        """
        self._complete = len(messages) <= self.room
        self._rows = list(messages[: self.room])
        self._places = list(map(self._place_of, self._rows))
        self.size = sum(map(_size, self._rows))

    def first(self, number: int) -> list[Message]:
        """Return the first messages: no more than the page's end and one."""
        return self._rows[:number]

    def add(self, message: Message) -> Effect:
        """Put a message in its place."""
        if self._sort_of is not None and is_large(self._sort_of(message)):
            return Effect.TOO_LARGE
        place = self._place_of(message)
        index = bisect_left(self._places, place)
        if index == len(self._places) and not self._complete:
            return Effect.NOTHING  # behind all that is known
        if index >= self.room:
            self._complete = False
            return Effect.NOTHING
        self._places.insert(index, place)
        self._rows.insert(index, message)
        self.size += _size(message)
        if len(self._rows) > self.room:
            self._places.pop()
            self.size -= _size(self._rows.pop())
            self._complete = False
        return self._effect(index)

    def remove(self, message: Message) -> Effect:
        """Take a message out, if it is here: found by its sequence, whatever it holds now."""
        index = next(
            (n for n, row in enumerate(self._rows) if row.sequence == message.sequence), -1
        )
        if index < 0:
            return Effect.NOTHING
        del self._places[index]
        self.size -= _size(self._rows.pop(index))
        # One behind the page tells whether there is a next page.
        if not self._complete and len(self._rows) <= self._end:
            return Effect.LOST
        return self._effect(index)

    def _effect(self, index: int) -> Effect:
        return Effect.CHANGED if index <= self._end else Effect.NOTHING


def _size(message: Message) -> int:
    return _BYTES + 2 * len(message.data_json)


def _placing(query: MessageQuery) -> Callable[[Message], _Place]:
    """Return what tells where a message stands; ties keep publish order."""
    if query.in_publish_order:
        sign = -1 if query.is_descending else 1
        return lambda message: (sign * (message.sequence or 0),)
    get = _sort_getter(query)
    directed: Callable[[Any], Any] = Descending if query.is_descending else lambda key: key

    def place(message: Message) -> _Place:
        value = get(message)
        if value is MISSING:
            return 1, message.sequence  # last in both directions
        return 0, directed(order_key(value)), message.sequence

    return place


def _sort_getter(query: MessageQuery) -> Callable[[Message], Any]:
    field = query.sort_field
    assert isinstance(field, FieldPath), "groups sort by count, key or an aggregate"
    return field_getter(field)
