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
    verified: bool = strawberry.field(
        description="Whether its publisher is proven: by a token, or by a client id that the "
        "server signed."
    )
    held: bool = strawberry.field(
        description="true: it waits for a moderator, and only its publisher and moderators see it."
    )
    data: JSON = strawberry.field(
        resolver=_data, description="What was published, returned exactly."
    )


@strawberry.type(name="Aggregate", description="What the values of one field amount to.")
class AggregateType:
    """Of all messages that match, or of one group; only what is selected is computed."""

    scope: strawberry.Private[SearchScope]
    path: strawberry.Private[FieldPath]
    group: strawberry.Private[bytes | None]
    """The group's key; None: all messages."""

    @strawberry.field(description="Messages whose field is there and not null.")
    async def count(self) -> int:
        return (await self._row(AggregateFunction.COUNT)).count

    @strawberry.field(description="How many different values they have: 1 and 1.0 are one.")
    async def distinct(self) -> int:
        return (await self._row(AggregateFunction.DISTINCT)).distinct

    @strawberry.field(
        description="The smallest value in the order null, strings, numbers, booleans, arrays, "
        "objects."
    )
    async def min(self) -> JSON | None:
        return _json((await self._row(AggregateFunction.MIN)).min_json)

    @strawberry.field(description="The largest value in the same order.")
    async def max(self) -> JSON | None:
        return _json((await self._row(AggregateFunction.MAX)).max_json)

    @strawberry.field(description="Of the numbers among the values; null where there is none.")
    async def sum(self) -> float | None:
        return (await self._row(AggregateFunction.SUM)).sum

    @strawberry.field(description="Of the numbers among the values; null where there is none.")
    async def avg(self) -> float | None:
        return (await self._row(AggregateFunction.AVG)).avg

    async def _row(self, function: AggregateFunction) -> AggregateRow:
        return await self.scope.aggregate(self.path, function, self.group)


def _json(text: bytes | None) -> JSON | None:
    return None if text is None else JSON(text)


@strawberry.type(name="PageInfo", description="Where a page begins and ends.")
class PageInfoType:
    """By Relay's names: https://relay.dev/graphql/connections.htm#sec-undefined.PageInfo."""

    page: strawberry.Private[Page[Message] | Page[GroupRow]]

    @strawberry.field(
        description="Whether more of what the query is about comes after the page, in its order."
    )
    def has_next_page(self) -> bool:
        return self.page.has_next

    @strawberry.field(
        description="Whether something that matches comes before the page, in its order."
    )
    def has_previous_page(self) -> bool:
        return self.page.has_previous

    @strawberry.field(description="The id of the page's first message; null where it has none.")
    def start_cursor(self) -> str | None:
        return _cursor(self.page, 0)

    @strawberry.field(
        description="The id of the page's last message; null where it has none. Oldest first it "
        "is the after of the next page, newest first the before."
    )
    def end_cursor(self) -> str | None:
        return _cursor(self.page, -1)


def _cursor(page: Page[Message] | Page[GroupRow], place: int) -> str | None:
    row = page.rows[place] if page.rows else None
    return row.id if isinstance(row, Message) else None


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
    def aggregate(self, field: FieldArgument) -> AggregateType:
        return AggregateType(
            scope=self.scope, path=parse_field("field", field), group=self.key_json
        )

    @strawberry.field(description="Its first messages, in the query's own order.")
    async def messages(
        self,
        limit: Annotated[
            int, strawberry.argument(description="Messages at the most, 0 to 1000.")
        ] = 10,
    ) -> list[MessageType]:
        checked = parse_limit("limit", limit)
        messages = await self.scope.messages_of_group(self.key_json, checked)
        return cast("list[MessageType]", messages)


@strawberry.type(name="MessageResult", description="What a query found.")
class MessageResultType:
    """Each field asks the database only when it is selected."""

    scope: strawberry.Private[SearchScope]

    @strawberry.field(
        description="How many messages match, after and before included, or with groupBy how many "
        "groups there are: what offset and limit page. Counted only when it is selected."
    )
    async def total_count(self) -> int:
        return await self.scope.total_count()

    @strawberry.field(description="The page of messages; empty with groupBy.")
    async def messages(self) -> list[MessageType]:
        if self.scope.query.group_by is not None:
            return []
        return cast("list[MessageType]", (await self.scope.page_of_messages()).rows)

    @strawberry.field(description="The page of groups; empty without groupBy.")
    async def groups(self) -> list[MessageGroupType]:
        scope = self.scope
        if scope.query.group_by is None:
            return []
        return [
            MessageGroupType(scope=scope, key_json=row.key_json, count=row.count)
            for row in (await scope.page_of_groups()).rows
        ]

    @strawberry.field(description="Where the page of messages, or of groups, begins and ends.")
    async def page_info(self) -> PageInfoType:
        scope = self.scope
        grouped = scope.query.group_by is not None
        page = scope.page_of_groups if grouped else scope.page_of_messages
        return PageInfoType(page=await page(neighbours=True))

    @strawberry.field(description=_AGGREGATE)
    def aggregate(self, field: FieldArgument) -> AggregateType:
        return AggregateType(scope=self.scope, path=parse_field("field", field), group=None)


@strawberry.type(name="ConnectionCount", description="How many are connected to a channel.")
class ConnectionCountType:
    """A count."""

    project_id: strawberry.ID = strawberry.field(description="The channel's project.")
    widget_id: strawberry.ID = strawberry.field(description="The channel's widget.")
    count: int = strawberry.field(
        description="Legacy sockets, and GraphQL connections that subscribe to its messages."
    )
