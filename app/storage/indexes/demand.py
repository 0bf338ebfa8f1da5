"""What was searched: noted in memory at no cost, and told to the database now and then.

Bounded: beyond `_MAX_NOTED` different searches between two times of telling, further ones are
not noted; they come again if they matter.
"""

from dataclasses import dataclass
from typing import Final

from app.domain.channel import Channel
from app.storage.indexes.definitions import NAME_PREFIX, IndexDefinition
from app.storage.indexes.shapes import Shape

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

    def note(
        self,
        channel: Channel,
        shape: Shape,
        index: IndexDefinition | None,
        *,
        seconds: float,
        matched: int,
    ) -> None:
        """Note a search.

        Args:
            channel: where.
            shape: of the index that it would have liked.
            index: that it had; None: none.
            seconds: what it took.
            matched: messages that it found, and would have to read with an index as well.
        """
        if index is not None and index.name.startswith(NAME_PREFIX):
            noted = self._noted_as(index, None)
            if noted is not None:
                noted.uses += 1
        if seconds < SLOW_SECONDS or not shape.is_indexable:
            return
        if index is not None and shape.is_served_by(index.fields):
            return
        noted = self._noted_as(IndexDefinition.on(shape.fields), channel.key)
        if noted is not None:
            noted.matched = min(noted.matched, matched) if noted.uses else matched
            noted.uses += 1
            noted.seconds += seconds

    def take(self) -> list[Noted]:
        """Return what was noted, and forget it."""
        noted, self._noted = self._noted, {}
        return list(noted.values())

    def _noted_as(self, index: IndexDefinition, channel: str | None) -> Noted | None:
        place = (index.name, channel)
        if place not in self._noted and len(self._noted) >= _MAX_NOTED:
            return None
        return self._noted.setdefault(place, Noted(index, channel))
