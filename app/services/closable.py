"""An iterator that must be closed: a subscription in progress."""

from collections.abc import AsyncIterator
from typing import Protocol, TypeVar

__all__ = ["Closable"]

Item_co = TypeVar("Item_co", covariant=True)


class Closable(AsyncIterator[Item_co], Protocol[Item_co]):
    """Yields until it is closed; closing is idempotent and lets go of what it holds."""

    async def aclose(self) -> None:
        """Leave."""
