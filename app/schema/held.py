"""Held messages in GraphQL: moderators list and hear them, approve and reject them."""

from collections.abc import AsyncGenerator
from typing import Annotated, TypeAlias, cast

import strawberry

from app.domain.channel import parse_channel
from app.domain.viewer import Permission
from app.schema.arguments import ProjectId, WidgetId
from app.schema.types import Info, MessageType

__all__ = ["HeldMutations", "HeldQueries", "HeldSubscriptions"]

Ids: TypeAlias = Annotated[
    list[strawberry.ID],
    strawberry.argument(description="The ids of 1 to 1000 held messages."),
]


@strawberry.type
class HeldQueries:
    """Root fields of queries."""

    @strawberry.field(
        description="The messages waiting for approval, oldest first. Requires the permission "
        "moderate."
    )
    async def held_messages(
        self,
        info: Info,
        project_id: ProjectId,
        widget_id: WidgetId,
        limit: Annotated[
            int, strawberry.argument(description="The maximum number of messages, 1 to 1000.")
        ] = 50,
    ) -> list[MessageType]:
        context = info.context
        channel = parse_channel(project_id, widget_id)
        waiting = await context.services.held.waiting(context.viewer, channel, limit)
        return cast("list[MessageType]", waiting)


@strawberry.type
class HeldMutations:
    """Root fields of mutations."""

    @strawberry.mutation(
        description="Publish held messages in the given order, in one transaction. Returns how "
        "many were published; ids that are not waiting are ignored. Requires the "
        "permission moderate."
    )
    async def approve(
        self, info: Info, project_id: ProjectId, widget_id: WidgetId, ids: Ids
    ) -> int:
        context = info.context
        channel = parse_channel(project_id, widget_id)
        return await context.services.held.approve(context.viewer, channel, ids)

    @strawberry.mutation(
        description="Delete held messages without publishing them. Returns how many were "
        "deleted; ids that are not waiting are ignored. Requires the permission "
        "moderate."
    )
    async def reject(self, info: Info, project_id: ProjectId, widget_id: WidgetId, ids: Ids) -> int:
        context = info.context
        channel = parse_channel(project_id, widget_id)
        return await context.services.held.reject(context.viewer, channel, ids)


@strawberry.type
class HeldSubscriptions:
    """Root fields of subscriptions."""

    @strawberry.subscription(
        description="The messages waiting for approval, oldest first, then each new one. "
        "Approvals and rejections send no event. Requires the permission moderate."
    )
    async def held_messages(
        self, info: Info, project_id: ProjectId, widget_id: WidgetId
    ) -> AsyncGenerator[MessageType, None]:
        context = info.context
        channel = parse_channel(project_id, widget_id)
        source = await context.services.held.listen(lambda: context.viewer, channel)
        guarded = context.rights.guarded(channel, source, (Permission.MODERATE,))
        return cast("AsyncGenerator[MessageType, None]", guarded)
