"""Entries of a channel that came before their turn."""

from app.delivery.budget import Budget
from app.domain.entry import StoredEntry

__all__ = ["Ahead"]

_ENTRY_BYTES = 500
"""What an entry takes in memory beside its data."""


class Ahead:
    """Stored entries that wait for those before them, by sequence.

    Where there is no room one is not kept: it is read from the table when its turn has come.

    Args:
        budget: shared by all channels of a process.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._entries: dict[int, StoredEntry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: StoredEntry) -> None:
        """Keep an entry, if there is room."""
        assert entry.sequence is not None
        if entry.sequence not in self._entries and self._budget.take(_size(entry)):
            self._entries[entry.sequence] = entry

    def take_after(self, position: int) -> list[StoredEntry]:
        """Take out those that follow `position` without a gap; forget those up to it."""
        ready: list[StoredEntry] = []
        while (entry := self._entries.pop(position + len(ready) + 1, None)) is not None:
            self._budget.give_back(_size(entry))
            ready.append(entry)
        reached = position + len(ready)
        if self._entries and min(self._entries) <= reached:
            for sequence in [one for one in self._entries if one <= reached]:
                self._budget.give_back(_size(self._entries.pop(sequence)))
        return ready

    def clear(self) -> None:
        """Forget all of them."""
        for entry in self._entries.values():
            self._budget.give_back(_size(entry))
        self._entries.clear()


def _size(entry: StoredEntry) -> int:
    return entry.size + _ENTRY_BYTES
