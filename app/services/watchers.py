"""Who is to be told of what, where there are many and most keys have one of them."""

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

__all__ = ["Watchers"]

Key = TypeVar("Key", bound=Hashable)
Watcher = TypeVar("Watcher")


class Watchers(Generic[Key, Watcher]):
    """Watchers by key. A key with a single one, which is no dict, takes no dict of its own."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Watcher | dict[Watcher, None]] = {}

    def add(self, key: Key, watcher: Watcher) -> None:
        """Add a watcher; one that is there already stays."""
        there = self._by_key.get(key)
        if isinstance(there, dict):
            there[watcher] = None
        elif there is None:
            self._by_key[key] = watcher
        elif there is not watcher:
            self._by_key[key] = {there: None, watcher: None}

    def remove(self, key: Key, watcher: Watcher) -> None:
        """Remove a watcher. Idempotent."""
        there = self._by_key.get(key)
        if there is watcher:
            del self._by_key[key]
        elif isinstance(there, dict):
            there.pop(watcher, None)
            if not there:
                del self._by_key[key]

    def of(self, key: Key) -> Sequence[Watcher]:
        """Return those of a key."""
        there = self._by_key.get(key)
        if there is None:
            return ()
        return tuple(there) if isinstance(there, dict) else (there,)
