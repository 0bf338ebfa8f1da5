"""What was searched: noted in memory at no cost, and told to the database now and then.

Bounded: beyond `_MAX_NOTED` different searches between two times of telling, further ones are
not noted; they come again if they matter.
"""

from dataclasses import dataclass
from typing import Final

from app.domain.channel import Channel
from app.domain.query import FieldPath
from app.storage.indexes.definitions import NAME_PREFIX, IndexDefinition

__all__ = ["SLOW_SECONDS", "Demand", "Noted"]

SLOW_SECONDS: Final = 0.005
"""A search that takes less needs no index."""

_MAX_NOTED: Final = 500


@dataclass(slots=True)
class Noted:
    """Searches that are alike."""

    index: IndexDefinition
    channel: str | None
    """Where an index was missing; None: they used it."""
    uses: int = 0
    seconds: float = 0.0
    """What they took, where an index was missing."""
    matched: int = 0
    """The fewest messages that one of them had to look at, whatever the index."""


class Demand:
    """The searches of this process since they were last told."""

    def __init__(self) -> None:
        self._noted: dict[tuple[str, str | None], Noted] = {}

    def used(self, index: IndexDefinition) -> None:
        """Note a search that an index was there for."""
        if index.name.startswith(NAME_PREFIX):
            noted = self._note(index, None)
            if noted is not None:
                noted.uses += 1

    def missed(
        self, channel: Channel, fields: tuple[FieldPath, ...], seconds: float, matched: int
    ) -> None:
        """Note a search that took long without the index of these fields.

        Args:
            channel: where.
            fields: paths below `data`, one at least.
            seconds: what it took.
            matched: messages that it found, and would have to read with an index as well.
        """
        noted = self._note(IndexDefinition.on(fields), channel.key)
        if noted is not None:
            noted.matched = min(noted.matched, matched) if noted.uses else matched
            noted.uses += 1
            noted.seconds += seconds

    def take(self) -> list[Noted]:
        """Return what was noted, and forget it."""
        noted, self._noted = self._noted, {}
        return list(noted.values())

    def _note(self, index: IndexDefinition, channel: str | None) -> Noted | None:
        place = (index.name, channel)
        if place not in self._noted and len(self._noted) >= _MAX_NOTED:
            return None
        return self._noted.setdefault(place, Noted(index, channel))
