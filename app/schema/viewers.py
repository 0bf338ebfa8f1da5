"""Who is asking: the `viewer` query."""

import strawberry

from app.domain.viewer import Permission
from app.schema.types import Info

__all__ = ["ViewerQueries", "ViewerType"]


@strawberry.type(name="Viewer", description="Who is asking, as the server knows it.")
class ViewerType:
    """A `Viewer` of the domain, in words."""

    sub: strawberry.ID | None = strawberry.field(
        description="The sub of the token; null: there is no token, or it has none."
    )
    username: str | None = strawberry.field(
        description="What messages will say of whoever publishes now."
    )
    client_id: strawberry.ID | None = strawberry.field(
        description="The client id that the server signed; made up for a viewer without token and "
        "client token. null: a token names the viewer already."
    )
    client_token: str | None = strawberry.field(
        description="Proves clientId for 400 days, renewed each time. A secret: send it as the "
        "header Widgetwire-Client, as clientToken in connection_init, as client_token in open."
    )
    projects: list[strawberry.ID] | None = strawberry.field(
        description="The projects that may be touched; null: all."
    )
    permissions: list[str] = strawberry.field(
        description="What may be done there: publish, subscribe, search, moderate, admin."
    )


@strawberry.type
class ViewerQueries:
    """Root of queries: about the viewer."""

    @strawberry.field(description="Who is asking. Never cached: the answer holds a secret.")
    def viewer(self, info: Info) -> ViewerType:
        context = info.context
        context.private = True
        viewer, client = context.viewer, context.client()
        return ViewerType(
            sub=_id(viewer.subject),
            username=viewer.username,
            client_id=None if client is None else strawberry.ID(client.id),
            client_token=None if client is None else client.token,
            projects=(
                None
                if viewer.projects is None
                else [strawberry.ID(project) for project in sorted(viewer.projects)]
            ),
            permissions=[str(one) for one in Permission if viewer.may(one)],
        )


def _id(value: str | None) -> strawberry.ID | None:
    return None if value is None else strawberry.ID(value)
