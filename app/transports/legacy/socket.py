"""The endpoint of legacy sockets: `/c8/{project}/{widget}`."""

from http import HTTPStatus

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from app.defaults import MAX_OUTBOUND_BYTES
from app.domain.channel import parse_channel
from app.errors import BadUserInput
from app.transports.legacy.replies import error_frame
from app.transports.legacy.session import LegacyLimits, LegacyServices, LegacySession
from app.transports.origins import OriginPolicy
from app.wire.outcomes import outcome_of
from app.wire.upgrade import Upgrade

__all__ = ["legacy_route"]


def legacy_route(
    services: LegacyServices,
    origins: OriginPolicy,
    limits: LegacyLimits | None = None,
    *,
    max_outbound_bytes: int = MAX_OUTBOUND_BYTES,
    prefix: str = "/c8",
) -> WebSocketRoute:
    """Return the route of the legacy sockets.

    Args:
        services: what the conversations call.
        origins: pages of others are answered 403 instead of the handshake.
        limits: the bounds of one socket.
        max_outbound_bytes: what may wait for one reader; more closes its socket with 1013.
        prefix: where the player's script is served too.
    """

    async def endpoint(websocket: WebSocket) -> None:
        upgrade = Upgrade.of(websocket.scope)
        if not origins.allows(websocket.headers.get("origin"), websocket.headers.get("host")):
            upgrade.deny(HTTPStatus.FORBIDDEN)
            return
        ids = websocket.path_params
        try:
            channel = parse_channel(ids["project"], ids["widget"])
        except BadUserInput as error:
            frame = error_frame(error.code, error.message)
            upgrade.close(outcome_of(error).close, error.message[:120], frame=frame)
            return
        session = LegacySession(channel, services, limits)
        upgrade.accept(session, subprotocol=None, max_outbound_bytes=max_outbound_bytes)

    return WebSocketRoute(prefix + "/{project}/{widget}", endpoint, name="legacy socket")
