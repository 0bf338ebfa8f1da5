"""Root fields about the channels of a project."""

from typing import Annotated, cast

import strawberry
from strawberry import UNSET

from app.schema.arguments import ProjectId, given
from app.schema.scalars import Timestamp
from app.schema.types import Info

__all__ = ["ChannelQueries", "ChannelSummaryType"]


@strawberry.type(name="ChannelSummary", description="One channel at a moment.")
class ChannelSummaryType:
    """Resolved from a `ChannelSummary` of the services."""

    project_id: strawberry.ID = strawberry.field(description="The channel's project.")
    widget_id: strawberry.ID = strawberry.field(description="The channel's widget.")
    messages: int = strawberry.field(description="Messages stored now.")
    connections: int = strawberry.field(description="Connections now, as connectionCount.")
    last_created: Timestamp | None = strawberry.field(
        description="When the newest message was published, deleted or not; null: none ever was."
    )


@strawberry.type
class ChannelQueries:
    """Root fields of queries."""

    @strawberry.field(
        description="The channels of a project, the most recently written first, ties by name; "
        "those that nobody has written to yet come last. Needs the permission moderate."
    )
    async def channels(
        self,
        info: Info,
        project_id: ProjectId,
        limit: Annotated[
            int, strawberry.argument(description="Channels at the most, 1 to 1000.")
        ] = 50,
        after: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="The widgetId of a channel of the project: only those after it, by "
                "where it stands now."
            ),
        ] = UNSET,
    ) -> list[ChannelSummaryType]:
        context = info.context
        found = await context.services.channels.most_recent(
            context.viewer, project_id, limit=limit, after=given(after)
        )
        return cast("list[ChannelSummaryType]", found)
