"""Who is asking: the `viewer` query."""

import strawberry

from app.domain.viewer import Permission
from app.schema.types import Info

__all__ = ["ViewerQueries", "ViewerType"]


@strawberry.type(name="Viewer", description="The authenticated user or anonymous client.")
class ViewerType:
    """A `Viewer` of the domain, in words."""

    sub: strawberry.ID | None = strawberry.field(
        description="The token's sub claim; null: no token, or a token without sub."
    )
    username: str | None = strawberry.field(
        description="The username that your messages carry; null: anonymous."
    )
    client_id: strawberry.ID | None = strawberry.field(
        description="A client id that the server signed; a new one if you sent neither a token "
        "nor a client token. null: your token identifies you already."
    )
    client_token: str | None = strawberry.field(
        description="Proves clientId; valid for 400 days, renewed on each request. Keep it "
        "secret. Send it as the header Widgetwire-Client, as clientToken in "
        "connection_init, or as client_token in the legacy open frame."
    )
    projects: list[strawberry.ID] | None = strawberry.field(
        description="The projects you may access; null: all."
    )
    permissions: list[str] = strawberry.field(
        description="Your permissions: publish, subscribe, search, moderate, admin."
    )


@strawberry.type
class ViewerQueries:
    """Root of queries: about the viewer."""

    @strawberry.field(
        description="The authenticated user or anonymous client. Never cached, "
        "because the result contains a secret."
    )
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
