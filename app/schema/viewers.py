"""Who is asking: the `viewer` query, and a new token on an open socket."""

from typing import Annotated

import strawberry

from app.domain.viewer import Permission
from app.errors import BadUserInput
from app.schema.context import Context
from app.schema.types import Info

__all__ = ["ViewerMutations", "ViewerQueries", "ViewerType"]


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
        return _viewer_type(info.context)


@strawberry.type
class ViewerMutations:
    """Root of mutations: about the viewer."""

    @strawberry.mutation(
        description="Replace the token of this WebSocket, before the present one expires. "
        "Subscriptions that the new token does not grant end with FORBIDDEN; the others go on "
        "without a gap. A token that is refused changes nothing: UNAUTHENTICATED. Over HTTP each "
        "request has its own token: BAD_USER_INPUT."
    )
    async def authenticate(
        self,
        info: Info,
        token: Annotated[
            str,
            strawberry.argument(
                description="As in connection_init, of the same user or of another. Send it as a "
                "variable. The signed client id stays."
            ),
        ],
    ) -> ViewerType:
        context = info.context
        if context.authenticate is None:
            raise BadUserInput(
                "authenticate came over HTTP; it is for WebSockets: over HTTP, send the token in "
                "the Authorization header of each request"
            )
        await context.authenticate(token)
        return _viewer_type(context)


def _viewer_type(context: Context) -> ViewerType:
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
