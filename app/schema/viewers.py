"""Who is asking: the `viewer` query, and a new token on an open socket."""

from typing import Annotated

import strawberry

from app.domain.viewer import Permission
from app.errors import BadUserInput
from app.schema.context import Context
from app.schema.types import Info

__all__ = ["ViewerMutations", "ViewerQueries", "ViewerType"]


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
