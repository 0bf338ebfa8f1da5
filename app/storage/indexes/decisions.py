"""Which index to build or drop next: decided from what is known, without asking anybody.

- What an ended build left behind is dropped first.
- A shape is wanted once it was searched `WANTED_USES` times and took `WANTED_SECONDS` without
  an index; of several, the one that took longest is built first.
- While there is room, it is built. Where there is none, the index that nobody has used for
  longest makes room, if that is at least `UNUSED_SECONDS` and it is used less than the wanted
  one would be. One that is used every hour stays, so no two shapes take turns.
- What was added by hand counts and is never dropped.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from app.storage.indexes.definitions import IndexDefinition

__all__ = ["UNUSED_SECONDS", "WANTED_SECONDS", "WANTED_USES", "Build", "Drop", "Known", "decide"]

WANTED_USES: Final = 5
WANTED_SECONDS: Final = 1.0
UNUSED_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Known:
    """A shape of search as the database knows it."""

    index: IndexDefinition
    uses: float
    seconds: float
    unused_seconds: float
    """Since it was last searched."""
    built_seconds: float | None = None
    """Since its index was built; None: nobody knows."""
    kept: bool = False
    """Added by hand."""
    valid: bool | None = None
    """Whether its index can be used; None: there is none."""
    bytes: int = 0
    """The size of the index."""

    @property
    def is_wanted(self) -> bool:
        """Whether it was searched often and long enough for an index."""
        return round(self.uses) >= WANTED_USES and self.seconds >= WANTED_SECONDS


@dataclass(frozen=True, slots=True)
class Build:
    """The next step is to build this."""

    index: IndexDefinition


@dataclass(frozen=True, slots=True)
class Drop:
    """The next step is to drop this."""

    index: IndexDefinition


def decide(
    shapes: Sequence[Known], limit: int, *, failed: Collection[str] = ()
) -> Build | Drop | None:
    """Return the next step; None: all is as it should be.

    Args:
        shapes: all that the database knows of, while nobody builds.
        limit: indexes at the most; 0: none is built or dropped.
        failed: names of indexes that could not be built a short while ago.
    """
    if not limit:
        return None
    for one in shapes:
        if one.valid is False:
            return Drop(one.index)
    built = [one for one in shapes if one.valid]
    droppable = sorted(
        (one for one in built if not one.kept), key=lambda one: one.unused_seconds, reverse=True
    )
    if len(built) > limit and droppable:
        return Drop(droppable[0].index)
    wanted = [
        one
        for one in shapes
        if one.valid is None and one.index.name not in failed and one.is_wanted
    ]
    if not wanted:
        return None
    first = max(wanted, key=lambda one: one.seconds)
    if len(built) < limit:
        return Build(first.index)
    unused = [
        one
        for one in droppable
        if min(one.unused_seconds, one.built_seconds or one.unused_seconds) >= UNUSED_SECONDS
        and one.uses < first.uses
    ]
    return Drop(unused[0].index) if unused else None
