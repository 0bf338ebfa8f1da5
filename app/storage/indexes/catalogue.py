"""Which indexes this process knows to be there, and which of them serves a search."""

from collections.abc import Collection, Iterable

from app.domain.query import FieldPath
from app.storage.indexes.definitions import BUILT_IN, IndexDefinition

__all__ = ["SearchIndexes"]


class SearchIndexes:
    """The indexes that are ready. A statement is right whether they are still there or not."""

    def __init__(self) -> None:
        self._ready: tuple[IndexDefinition, ...] = BUILT_IN
        self._strings_in_order = False

    @property
    def strings_in_order(self) -> bool:
        """Whether the database compares strings by code point."""
        return self._strings_in_order

    @property
    def ready(self) -> tuple[IndexDefinition, ...]:
        """All of them, those that each channel has from the start first."""
        return self._ready

    def refresh(self, built: Iterable[IndexDefinition], *, strings_in_order: bool) -> None:
        """Take what the database has now.

        Args:
            built: the indexes that can be used, besides those that each channel has.
            strings_in_order: whether it compares strings by code point.
        """
        self._ready = (*BUILT_IN, *built)
        self._strings_in_order = strings_in_order

    def within(self, equal: Collection[FieldPath]) -> IndexDefinition | None:
        """Return the index of most fields that all have one value in the search.

        It has the messages of those values in publish order.
        """
        found = [one for one in self._ready if all(field in equal for field in one.fields)]
        return max(found, key=_length, default=None)

    def ending_with(
        self, equal: Collection[FieldPath], ordered: FieldPath
    ) -> IndexDefinition | None:
        """Return the index that has messages in the order of a field.

        All its other fields have one value in the search, and are as many as can be.
        """
        found = [
            one
            for one in self._ready
            if one.fields[-1] == ordered and all(field in equal for field in one.fields[:-1])
        ]
        return max(found, key=_length, default=None)

    def narrowing(
        self, equal: Collection[FieldPath], ordered: FieldPath | None
    ) -> IndexDefinition | None:
        """Return the index that narrows a search down by most of its first fields."""

        def narrowed(index: IndexDefinition) -> int:
            for place, field in enumerate(index.fields):
                if field not in equal:
                    # After a range, a B-tree tells no more.
                    return place + (field == ordered)
            return len(index.fields)

        found = max(self._ready, key=narrowed)
        return found if narrowed(found) else None


def _length(index: IndexDefinition) -> int:
    return len(index.fields)
