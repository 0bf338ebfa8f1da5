"""Who answers a search."""

from collections.abc import Collection, Hashable, Sequence
from typing import Final, Protocol

from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import AggregateFunction, FieldPath, MessageQuery
from app.domain.results import AggregateRow, GroupRow, Page

__all__ = ["ALL_FUNCTIONS", "Searches", "Searching"]

ALL_FUNCTIONS: Final = frozenset(AggregateFunction)


class Searching(Protocol):
    """Answers the parts of a result: `app.storage.search.MessageSearch`, or who stands for it.

    What is returned is shared: nobody changes it.
    """

    async def messages(self, channel: Channel, query: MessageQuery) -> list[Message]:
        """Return the page of messages."""

    async def page_of_messages(self, channel: Channel, query: MessageQuery) -> Page[Message]:
        """Return the page of messages, and whether there is more on either side of it."""

    async def total_count(self, channel: Channel, query: MessageQuery) -> int:
        """Return how many messages match, or how many groups they make."""

    async def check_cursors(self, channel: Channel, query: MessageQuery) -> None:
        """Return if the channel has the messages that the query's cursors name."""

    async def groups(self, channel: Channel, query: MessageQuery) -> list[GroupRow]:
        """Return the page of groups."""

    async def page_of_groups(self, channel: Channel, query: MessageQuery) -> Page[GroupRow]:
        """Return the page of groups, and whether there is more on either side of it."""

    async def group_messages(
        self, channel: Channel, query: MessageQuery, keys: Sequence[bytes], limit: int
    ) -> list[list[Message]]:
        """Return the first messages of each of several groups."""

    async def aggregate(
        self,
        channel: Channel,
        query: MessageQuery,
        field: FieldPath,
        functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> AggregateRow:
        """Return what a field comes to over all messages that match."""

    async def group_aggregates(
        self,
        channel: Channel,
        query: MessageQuery,
        keys: Sequence[bytes],
        field: FieldPath,
        functions: Collection[AggregateFunction] = ALL_FUNCTIONS,
    ) -> list[AggregateRow]:
        """Return what a field comes to over each of several groups."""


class Searches(Searching, Protocol):
    """Gives out searches, so that whoever asks much waits for nobody but themselves."""

    def asked_by(self, asker: Hashable) -> "Searches":
        """Return the search for one request of somebody who waits in a line of their own.

        Args:
            asker: equal for all that one client asks; None: not known.
        """
