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
        description="Permanently delete the matching messages of a channel and return how "
        "many. Their ids stop working as cursors. Subscribers get no event for "
        "each message; live results update. Requires the permission admin."
    )
    async def delete_messages(
        self,
        info: Info,
        project_id: ProjectId,
        widget_id: WidgetId,
        filters: Annotated[
            list[MessageFilterInput],
            strawberry.argument(
                description="A message is deleted if it matches all filters; without filters "
                "the whole channel is deleted."
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
