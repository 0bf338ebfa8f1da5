"""What kept results begin with."""

from typing import Protocol

from app.domain.channel import Channel
from app.domain.message import Head, Message
from app.domain.query import FieldPath, MessageQuery
from app.domain.results import FoundGroup, Tally

__all__ = ["Reads"]


class Reads(Protocol):
    """Reads what states begin with, as of a sequence of the channel."""

    orders_by_code_point: bool
    """Whether the database compares the strings in JSON as Python does."""

    async def count(self, channel: Channel, query: MessageQuery, head: Head) -> int:
        """Return how many messages match."""

    async def first(
        self, channel: Channel, query: MessageQuery, number: int, head: Head
    ) -> list[Message]:
        """Return the first messages in the query's order."""

    async def groups(
        self,
        channel: Channel,
        query: MessageQuery,
        tallied: tuple[FieldPath, bool] | None,
        head: Head,
        most: tuple[int, int],
    ) -> list[FoundGroup] | None:
        """Return all groups.

        Args:
            channel: where.
            query: what.
            tallied: a field whose values are tallied, and whether different ones are counted.
            head: no message after it is looked at.
            most: groups, and different values over all groups; None is returned beyond.
        """

    async def tally(
        self,
        channel: Channel,
        query: MessageQuery,
        field: FieldPath,
        distinct: bool,
        head: Head,
        most: int,
    ) -> Tally | None:
        """Return what a field comes to; None: it has more than `most` different values."""
