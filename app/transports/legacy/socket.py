"""The endpoint of legacy sockets: `/c8/{project}/{widget}`."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.routing import WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket

from app.defaults import MAX_OUTBOUND_BYTES
from app.domain.channel import parse_channel
from app.errors import BadUserInput
from app.transports.legacy.calls import LegacyLimits
from app.transports.legacy.replies import error_frame
from app.transports.legacy.session import LegacyServices, LegacySession
from app.transports.origins import OriginPolicy
from app.wire.outcomes import outcome_of
from app.wire.peer import peer_of
from app.wire.upgrade import Upgrade

__all__ = ["LegacySockets"]


class LegacySockets:
    """Answers the upgrade requests of legacy sockets.

    Args:
        services: what the conversations call.
        origins: pages of others are answered 403 instead of the handshake.
        limits: the bounds of one socket.
        max_outbound_bytes: what may wait for one reader; more closes its socket with 1013.
        prefix: where the player's script is served too.
    """

    def __init__(
        self,
        services: LegacyServices,
        origins: OriginPolicy,
        limits: LegacyLimits | None = None,
        *,
        max_outbound_bytes: int = MAX_OUTBOUND_BYTES,
        prefix: str = "/c8",
    ) -> None:
        self._services = services
        self._origins = origins
        self._limits = limits
        self._max_outbound_bytes = max_outbound_bytes
        self._prefix = prefix

    def serves(self, path: str) -> bool:
        """Return whether a path is one of theirs: `/c8/{project}/{widget}`."""
        ids = self._ids(path)
        return path.startswith(self._prefix + "/") and len(ids) == 2 and all(ids)

    def answer(self, upgrade: Upgrade, scope: Scope) -> None:
        """See `SocketEndpoint.answer`."""
        headers = Headers(scope=scope)
        if not self._origins.allows(headers.get("origin"), headers.get("host"), peer_of(scope)):
            upgrade.deny(HTTPStatus.FORBIDDEN)
            return
        project_id, widget_id = self._ids(scope["path"])
        try:
            channel = parse_channel(project_id, widget_id)
        except BadUserInput as error:
            frame = error_frame(error.code, error.message)
            upgrade.close(outcome_of(error).close, error.message[:120], frame=frame)
            return
        session = LegacySession(channel, self._services, self._limits, peer_of(scope))
        upgrade.accept(session, subprotocol=None, max_outbound_bytes=self._max_outbound_bytes)

    def route(self) -> WebSocketRoute:
        """Return the route, for servers that know nothing of `ENDPOINTS`."""

        async def endpoint(websocket: WebSocket) -> None:
            self.answer(Upgrade.of(websocket.scope), websocket.scope)

        return WebSocketRoute(self._prefix + "/{project}/{widget}", endpoint, name="legacy socket")

    def _ids(self, path: str) -> list[str]:
        return path[len(self._prefix) + 1 :].split("/")
