"""The object types."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias, TypeVar, cast

import strawberry
from strawberry.dataloader import DataLoader

from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import FieldPath, MessageQuery, parse_field, parse_limit
from app.errors import Unavailable
from app.schema.context import Context
from app.schema.scalars import JSON, Timestamp
from app.services.searching import Searching
from app.storage.search import AggregateRow

__all__ = [
    "AggregateType",
    "ConnectionCountType",
    "Info",
    "MessageGroupType",
    "MessageResultType",
    "MessageType",
    "SearchScope",
]

Info: TypeAlias = strawberry.Info[Context, None]


def _data(message: strawberry.Parent[Message]) -> JSON:
    return JSON(message.data_json)


def _min(row: strawberry.Parent[AggregateRow]) -> JSON | None:
    return None if row.min_json is None else JSON(row.min_json)


def _max(row: strawberry.Parent[AggregateRow]) -> JSON | None:
    return None if row.max_json is None else JSON(row.max_json)


@strawberry.type(name="Message", description="One published record.")
class MessageType:
    """Resolved from a `Message`."""

    id: strawberry.ID = strawberry.field(
        description="UUID version 7, unique over all channels; also the cursor to resume after."
    )
    client_id: strawberry.ID = strawberry.field(
        description="The widget instance that published it."
    )
    created: Timestamp = strawberry.field(
        description="Server time; never runs backwards within a channel."
    )
    username: str | None = strawberry.field(
        description="From the verified token of whoever published it; null: anonymous."
    )
    persistent: bool = strawberry.field(
        description="false: delivered to whoever was connected, never stored nor searchable."
    )
    data: JSON = strawberry.field(
        resolver=_data, description="What was published, returned exactly."
    )


@strawberry.type(name="Aggregate", description="What the values of one field amount to.")
class AggregateType:
    """Resolved from an `AggregateRow`."""

    count: int = strawberry.field(description="Messages whose field is there and not null.")
    sum: float | None = strawberry.field(
        description="Of the numbers among the values; null where there is none."
    )
    avg: float | None = strawberry.field(
        description="Of the numbers among the values; null where there is none."
    )
    min: JSON | None = strawberry.field(
        resolver=_min,
        description="The smallest value in the order null, strings, numbers, booleans, arrays, "
        "objects.",
    )
    max: JSON | None = strawberry.field(
        resolver=_max, description="The largest value in the same order."
    )


Read = TypeVar("Read")


@dataclass(slots=True, eq=False)
class SearchScope:
    """One query of one channel, and the loaders that answer for all its groups at once."""

    search: Searching
    channel: Channel
    query: MessageQuery
    on_unavailable: Callable[[], None] = lambda: None
    """Told of a read that failed because the database is away: it is worth another try."""
    _messages: dict[int, DataLoader[bytes, list[Message]]] = field(default_factory=dict)
    _aggregates: dict[FieldPath, DataLoader[bytes, AggregateRow]] = field(default_factory=dict)

    async def read(self, reading: Awaitable[Read]) -> Read:
        """Return what a read of the search gives, or tell of its failure and raise it."""
        try:
            return await reading
        except Unavailable:
            self.on_unavailable()
            raise

    def messages_of_groups(self, limit: int) -> DataLoader[bytes, list[Message]]:
        """Return the loader of the groups' first `limit` messages, by group key."""
        loader = self._messages.get(limit)
        if loader is None:

            async def load(keys: list[bytes]) -> list[list[Message]]:
                reading = self.search.group_messages(self.channel, self.query, keys, limit)
                return await self.read(reading)

            loader = self._messages[limit] = DataLoader(load)
        return loader

    def aggregates_of_groups(self, path: FieldPath) -> DataLoader[bytes, AggregateRow]:
        """Return the loader of the groups' aggregates of a field, by group key."""
        loader = self._aggregates.get(path)
        if loader is None:

            async def load(keys: list[bytes]) -> list[AggregateRow]:
                reading = self.search.group_aggregates(self.channel, self.query, keys, path)
                return await self.read(reading)

            loader = self._aggregates[path] = DataLoader(load)
        return loader


_AGGREGATE = "The values of one field, over all messages that match: sums and extremes."
FieldArgument: TypeAlias = Annotated[
    str, strawberry.argument(description='The field, e.g. "data.score".')
]


@strawberry.type(name="MessageGroup", description="Messages whose groupBy field is equal.")
class MessageGroupType:
    """One group."""

    scope: strawberry.Private[SearchScope]
    key_json: strawberry.Private[bytes]
    count: int = strawberry.field(description="How many messages it has.")

    @strawberry.field(description="The value they share; null for those that lack the field.")
    def key(self) -> JSON | None:
        return JSON(self.key_json)

    @strawberry.field(description=_AGGREGATE)
    async def aggregate(self, field: FieldArgument) -> AggregateType:
        path = parse_field("field", field)
        row = await self.scope.aggregates_of_groups(path).load(self.key_json)
        return cast("AggregateType", row)

    @strawberry.field(description="Its first messages, in the query's own order.")
    async def messages(
        self,
        limit: Annotated[
            int, strawberry.argument(description="Messages at the most, 0 to 1000.")
        ] = 10,
    ) -> list[MessageType]:
        checked = parse_limit("limit", limit)
        messages = await self.scope.messages_of_groups(checked).load(self.key_json)
        return cast("list[MessageType]", messages)


@strawberry.type(name="MessageResult", description="What a query found.")
class MessageResultType:
    """Each field asks the database only when it is selected."""

    scope: strawberry.Private[SearchScope]

    @strawberry.field(
        description="How many messages match, or with groupBy how many groups there are: what "
        "offset and limit page. Counted only when it is selected."
    )
    async def total_count(self) -> int:
        scope = self.scope
        return await scope.read(scope.search.total_count(scope.channel, scope.query))

    @strawberry.field(description="The page of messages; empty with groupBy.")
    async def messages(self) -> list[MessageType]:
        scope = self.scope
        if scope.query.group_by is not None:
            return []
        messages = await scope.read(scope.search.messages(scope.channel, scope.query))
        return cast("list[MessageType]", messages)

    @strawberry.field(description="The page of groups; empty without groupBy.")
    async def groups(self) -> list[MessageGroupType]:
        scope = self.scope
        if scope.query.group_by is None:
            return []
        rows = await scope.read(scope.search.groups(scope.channel, scope.query))
        return [
            MessageGroupType(scope=scope, key_json=row.key_json, count=row.count) for row in rows
        ]

    @strawberry.field(description=_AGGREGATE)
    async def aggregate(self, field: FieldArgument) -> AggregateType:
        scope = self.scope
        path = parse_field("field", field)
        row = await scope.read(scope.search.aggregate(scope.channel, scope.query, path))
        return cast("AggregateType", row)


@strawberry.type(name="ConnectionCount", description="How many are connected to a channel.")
class ConnectionCountType:
    """A count."""

    project_id: strawberry.ID = strawberry.field(description="The channel's project.")
    widget_id: strawberry.ID = strawberry.field(description="The channel's widget.")
    count: int = strawberry.field(
        description="Legacy sockets, and GraphQL connections that subscribe to its messages."
    )
