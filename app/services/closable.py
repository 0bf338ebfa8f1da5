"""An iterator that must be closed: a subscription in progress."""

from collections.abc import AsyncIterator
from typing import Protocol, TypeVar

__all__ = ["Closable"]

Item_co = TypeVar("Item_co", covariant=True)


class Closable(Protocol[Item_co]):
    """An async iterator that yields until it is closed."""

    def __aiter__(self) -> AsyncIterator[Item_co]:
        """Return itself."""

    async def __anext__(self) -> Item_co:
        """Return the next item."""

    async def aclose(self) -> None:
        """Let go of everything. Idempotent."""
