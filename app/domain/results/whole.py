"""What is kept of all messages that match: their number, and the aggregate of a field."""

from typing import Protocol

from app.domain.message import Message
from app.domain.query.fields import FieldPath
from app.domain.query.matching import field_getter
from app.domain.results.effect import Effect
from app.domain.results.tally import Tally

__all__ = ["KeptAggregate", "KeptCount", "State"]


class State(Protocol):
    """What one part of a result is kept in."""

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""

    def add(self, message: Message) -> Effect:
        """Apply a message that was stored."""

    def remove(self, message: Message) -> Effect:
        """Apply a message that is gone."""


class KeptCount:
    """How many messages match."""

    __slots__ = ("number", "size")

    def __init__(self, number: int) -> None:
        self.number = number
        self.size = 100

    def add(self, _message: Message) -> Effect:
        """Count one more."""
        self.number += 1
        return Effect.CHANGED

    def remove(self, _message: Message) -> Effect:
        """Count one less."""
        self.number -= 1
        return Effect.CHANGED


class KeptAggregate:
    """What a field comes to over all messages that match."""

    __slots__ = ("_get", "tally")

    def __init__(self, field: FieldPath, tally: Tally) -> None:
        self._get = field_getter(field)
        self.tally = tally

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""
        return self.tally.size

    def add(self, message: Message) -> Effect:
        """Count the message's value."""
        return self.tally.add(self._get(message))

    def remove(self, message: Message) -> Effect:
        """Count the message's value no more."""
        return self.tally.remove(self._get(message))
