"""The object types."""

from typing import Annotated, TypeAlias, cast

import strawberry

from app.domain.message import Message
from app.domain.query import AggregateFunction, FieldPath, parse_field, parse_limit
from app.domain.results import AggregateRow, GroupRow, Page
from app.schema.context import Context
from app.schema.scalars import JSON, Timestamp
from app.schema.search_scope import SearchScope

__all__ = [
    "AggregateType",
    "ConnectionCountType",
    "Info",
    "MessageGroupType",
    "MessageResultType",
    "MessageType",
    "PageInfoType",
]

Info: TypeAlias = strawberry.Info[Context, None]


def _data(message: strawberry.Parent[Message]) -> JSON:
    return JSON(message.data_json)


@strawberry.type(name="Message", description="A published message.")
class MessageType:
    """Resolved from a `Message`."""

    id: strawberry.ID = strawberry.field(
        description="A UUID version 7, unique across all channels. Also the cursor to resume from."
    )
    client_id: strawberry.ID = strawberry.field(
        description="The widget instance that published it."
    )
    created: Timestamp = strawberry.field(
        description="The server's time of publication; never decreases within a channel."
    )
    username: str | None = strawberry.field(
        description="The username from the publisher's verified token; null: anonymous."
    )
    persistent: bool = strawberry.field(
        description="false: delivered to connected clients only; not stored and not searchable."
    )
    verified: bool = strawberry.field(
        description="Whether the publisher's identity was verified, by a token or by a client "
        "id that the server signed."
    )
    held: bool = strawberry.field(
        description="true: it waits for approval; only its publisher and moderators see it."
    )
    data: JSON = strawberry.field(
        resolver=_data, description="The published JSON value, returned exactly."
    )


@strawberry.type(name="Aggregate", description="Statistics on the values of one field.")
class AggregateType:
    """Of all messages that match, or of one group; only what is selected is computed."""

    scope: strawberry.Private[SearchScope]
    path: strawberry.Private[FieldPath]
    group: strawberry.Private[bytes | None]
    """The group's key; None: all messages."""

    @strawberry.field(description="The number of messages where the field exists and is not null.")
    async def count(self) -> int:
        return (await self._row(AggregateFunction.COUNT)).count

    @strawberry.field(description="The number of different values; 1 and 1.0 count as one.")
    async def distinct(self) -> int:
        return (await self._row(AggregateFunction.DISTINCT)).distinct

    @strawberry.field(
        description="The smallest value, in the order null, strings, numbers, booleans, "
        "arrays, objects."
    )
    async def min(self) -> JSON | None:
        return _json((await self._row(AggregateFunction.MIN)).min_json)

    @strawberry.field(description="The largest value in the same order.")
    async def max(self) -> JSON | None:
        return _json((await self._row(AggregateFunction.MAX)).max_json)

    @strawberry.field(description="Computed over the numeric values; null if there are none.")
    async def sum(self) -> float | None:
        return (await self._row(AggregateFunction.SUM)).sum

    @strawberry.field(description="Computed over the numeric values; null if there are none.")
    async def avg(self) -> float | None:
        return (await self._row(AggregateFunction.AVG)).avg

    async def _row(self, function: AggregateFunction) -> AggregateRow:
        return await self.scope.aggregate(self.path, function, self.group)


def _json(text: bytes | None) -> JSON | None:
    return None if text is None else JSON(text)


@strawberry.type(name="PageInfo", description="The position of a page in the result.")
class PageInfoType:
    """By Relay's names: https://relay.dev/graphql/connections.htm#sec-undefined.PageInfo."""

    page: strawberry.Private[Page[Message] | Page[GroupRow]]

    @strawberry.field(description="Whether more results follow this page.")
    def has_next_page(self) -> bool:
        return self.page.has_next

    @strawberry.field(description="Whether results precede this page.")
    def has_previous_page(self) -> bool:
        return self.page.has_previous

    @strawberry.field(
        description="The id of the first message of the page; null if the page is empty."
    )
    def start_cursor(self) -> str | None:
        return _cursor(self.page, 0)

    @strawberry.field(
        description="The id of the last message of the page; null if the page is empty. For "
        "the next page pass it as after (ascending order) or before (descending "
        "order)."
    )
    def end_cursor(self) -> str | None:
        return _cursor(self.page, -1)


def _cursor(page: Page[Message] | Page[GroupRow], place: int) -> str | None:
    row = page.rows[place] if page.rows else None
    return row.id if isinstance(row, Message) else None


_AGGREGATE = "Statistics on one field over all matching messages."
FieldArgument: TypeAlias = Annotated[
    str, strawberry.argument(description='The field, for example "data.score".')
]


@strawberry.type(
    name="MessageGroup", description="The messages with one value of the groupBy field."
)
class MessageGroupType:
    """One group."""

    scope: strawberry.Private[SearchScope]
    key_json: strawberry.Private[bytes]
    count: int = strawberry.field(description="The number of messages in the group.")

    @strawberry.field(description="The shared value; null for messages without the field.")
    def key(self) -> JSON | None:
        return JSON(self.key_json)

    @strawberry.field(description=_AGGREGATE)
    def aggregate(self, field: FieldArgument) -> AggregateType:
        return AggregateType(
            scope=self.scope, path=parse_field("field", field), group=self.key_json
        )

    @strawberry.field(description="The first messages of the group, in the order of the query.")
    async def messages(
        self,
        limit: Annotated[
            int, strawberry.argument(description="The maximum number of messages, 0 to 1000.")
        ] = 10,
    ) -> list[MessageType]:
        checked = parse_limit("limit", limit)
        messages = await self.scope.messages_of_group(self.key_json, checked)
        return cast("list[MessageType]", messages)


@strawberry.type(name="MessageResult", description="The result of a query.")
class MessageResultType:
    """Each field asks the database only when it is selected."""

    scope: strawberry.Private[SearchScope]

    @strawberry.field(
        description="The number of matching messages within after and before, or with groupBy "
        "the number of groups. Counted only if you select it."
    )
    async def total_count(self) -> int:
        return await self.scope.total_count()

    @strawberry.field(description="The messages of the page; empty with groupBy.")
    async def messages(self) -> list[MessageType]:
        if self.scope.query.group_by is not None:
            return []
        return cast("list[MessageType]", (await self.scope.page_of_messages()).rows)

    @strawberry.field(description="The groups of the page; empty without groupBy.")
    async def groups(self) -> list[MessageGroupType]:
        scope = self.scope
        if scope.query.group_by is None:
            return []
        return [
            MessageGroupType(scope=scope, key_json=row.key_json, count=row.count)
            for row in (await scope.page_of_groups()).rows
        ]

    @strawberry.field(description="The position of the page in the result.")
    async def page_info(self) -> PageInfoType:
        scope = self.scope
        grouped = scope.query.group_by is not None
        page = scope.page_of_groups if grouped else scope.page_of_messages
        return PageInfoType(page=await page(neighbours=True))

    @strawberry.field(description=_AGGREGATE)
    def aggregate(self, field: FieldArgument) -> AggregateType:
        return AggregateType(scope=self.scope, path=parse_field("field", field), group=None)


@strawberry.type(
    name="ConnectionCount", description="The number of clients connected to a channel."
)
class ConnectionCountType:
    """A count."""

    project_id: strawberry.ID = strawberry.field(description="The channel's project.")
    widget_id: strawberry.ID = strawberry.field(description="The channel's widget.")
    count: int = strawberry.field(
        description="The number of legacy sockets and of GraphQL connections that subscribe to "
        "the channel's messages."
    )
