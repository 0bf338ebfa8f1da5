"""The root field that deletes messages."""

from typing import Annotated

import strawberry

from app.domain.channel import parse_channel
from app.domain.query import parse_filters
from app.schema.arguments import ProjectId, WidgetId
from app.schema.inputs import MessageFilterInput, wire_filters
from app.schema.types import Info

__all__ = ["DeletionMutations"]


@strawberry.type
class DeletionMutations:
    """Root fields of mutations."""

    @strawberry.mutation(
        description="Delete the stored messages of a channel that match now, and return how many "
        "were deleted. Their ids are no cursors any more; subscribers are not told of each, live "
        "results follow. Needs the permission admin."
    )
    async def delete_messages(
        self,
        info: Info,
        project_id: ProjectId,
        widget_id: WidgetId,
        filters: Annotated[
            list[MessageFilterInput],
            strawberry.argument(
                description="All of these must hold for a message to be deleted; none: the whole "
                "channel."
            ),
        ] = [],  # noqa: B006  GraphQL's default; never changed
    ) -> int:
        context = info.context
        return await context.services.deletion.delete_messages(
            context.viewer,
            parse_channel(project_id, widget_id),
            parse_filters(wire_filters(filters)),
            context.asker,
        )
