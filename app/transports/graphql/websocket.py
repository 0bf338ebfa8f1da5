"""The WebSocket endpoint at `/graphql`: checks the handshake and begins a session."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from app.defaults import MAX_OUTBOUND_BYTES
from app.engine.execution import Executor
from app.transports.client_tokens import client_header_token
from app.transports.graphql.context import ContextFactory, ViewerOf
from app.transports.graphql.dialects import ApolloDialect, Dialect, TransportDialect
from app.transports.graphql.session import GraphQLSession, SessionLimits
from app.transports.origins import OriginPolicy
from app.wire.close_codes import CloseCode
from app.wire.peer import peer_of
from app.wire.upgrade import Upgrade

__all__ = ["GraphQLSocket"]

_DIALECTS: Final[Sequence[Dialect]] = (TransportDialect(), ApolloDialect())
"""The preferred one first."""


class GraphQLSocket:
    """The ASGI application at `/graphql` for WebSockets.

    Args:
        executor: of the schema.
        viewer_of: turns a token and a client token into a viewer.
        context_factory: makes a context a connection, closed at its end.
        origins: the pages that may connect.
        max_outbound_bytes: what may wait for a peer that reads slowly; then 1013.
        limits: of each conversation.
    """

    def __init__(
        self,
        executor: Executor,
        viewer_of: ViewerOf,
        context_factory: ContextFactory,
        origins: OriginPolicy,
        *,
        max_outbound_bytes: int = MAX_OUTBOUND_BYTES,
        limits: SessionLimits | None = None,
    ) -> None:
        self._executor = executor
        self._viewer_of = viewer_of
        self._context_factory = context_factory
        self._origins = origins
        self._max_outbound_bytes = max_outbound_bytes
        self._limits = limits

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        """Answer one handshake, as ASGI calls it."""
        self.answer(Upgrade.of(scope), scope)

    def answer(self, upgrade: Upgrade, scope: Scope) -> None:
        """See `SocketEndpoint.answer`."""
        headers = Headers(scope=scope)
        if not self._origins.allows(headers.get("origin"), headers.get("host"), peer_of(scope)):
            upgrade.deny(HTTPStatus.FORBIDDEN)
            return
        dialect = _chosen(scope["subprotocols"])
        if dialect is None:
            upgrade.close(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")
            return
        session = GraphQLSession(
            dialect,
            self._executor,
            self._viewer_of,
            self._context_factory,
            authorization=headers.get("authorization"),
            client_token=client_header_token(headers),
            peer=peer_of(scope),
            limits=self._limits,
        )
        upgrade.accept(
            session,
            subprotocol=dialect.subprotocol,
            max_outbound_bytes=self._max_outbound_bytes,
        )


def _chosen(offered: Sequence[str]) -> Dialect | None:
    return next((dialect for dialect in _DIALECTS if dialect.subprotocol in offered), None)
