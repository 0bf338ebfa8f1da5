"""Root fields about the channels of a project."""

from typing import Annotated, cast

import strawberry
from strawberry import UNSET

from app.schema.arguments import ProjectId, given
from app.schema.scalars import Timestamp
from app.schema.types import Info

__all__ = ["ChannelQueries", "ChannelSummaryType"]


@strawberry.type(name="ChannelSummary", description="A channel, with its current numbers.")
class ChannelSummaryType:
    """Resolved from a `ChannelSummary` of the services."""

    project_id: strawberry.ID = strawberry.field(description="The channel's project.")
    widget_id: strawberry.ID = strawberry.field(description="The channel's widget.")
    messages: int = strawberry.field(description="The number of stored messages.")
    connections: int = strawberry.field(
        description="The number of connections, counted as in connectionCount."
    )
    last_created: Timestamp | None = strawberry.field(
        description="When the last message was published, even if it was deleted since; null: "
        "none was ever published."
    )


@strawberry.type
class ChannelQueries:
    """Root fields of queries."""

    @strawberry.field(
        description="The channels of a project, most recently published first, ties by name; "
        "empty channels come last. Requires the permission moderate."
    )
    async def channels(
        self,
        info: Info,
        project_id: ProjectId,
        limit: Annotated[
            int, strawberry.argument(description="The maximum number of channels, 1 to 1000.")
        ] = 50,
        after: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="A widgetId of the project: return the channels after it in the "
                "current order."
            ),
        ] = UNSET,
    ) -> list[ChannelSummaryType]:
        context = info.context
        found = await context.services.channels.most_recent(
            context.viewer, project_id, limit=limit, after=given(after)
        )
        return cast("list[ChannelSummaryType]", found)
