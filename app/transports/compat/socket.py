"""The endpoint of legacy sockets: `/c8/{project}/{widget}`."""

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.defaults import MAX_OUTBOUND_BYTES
from app.domain.channel import parse_channel
from app.errors import BadUserInput
from app.transports.asgi_socket import run_session
from app.transports.close_codes import CloseCode
from app.transports.compat.replies import error_frame
from app.transports.compat.session import CompatLimits, CompatServices, CompatSession
from app.transports.origins import OriginPolicy
from app.transports.outcomes import outcome_of

__all__ = ["compat_route"]


def compat_route(
    services: CompatServices,
    origins: OriginPolicy,
    limits: CompatLimits | None = None,
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
        if not origins.allows(websocket.headers.get("origin"), websocket.headers.get("host")):
            # Closed before it is accepted: the server answers the handshake with a 403.
            await websocket.close(CloseCode.UNAUTHORIZED)
            return
        ids = websocket.path_params
        try:
            channel = parse_channel(ids["project"], ids["widget"])
        except BadUserInput as error:
            await _refuse(websocket, error)
            return
        session = CompatSession(channel, services, limits)
        await run_session(
            websocket, session, subprotocol=None, max_outbound_bytes=max_outbound_bytes
        )

    return WebSocketRoute(prefix + "/{project}/{widget}", endpoint, name="legacy socket")


async def _refuse(websocket: WebSocket, error: BadUserInput) -> None:
    """Accept and close: a browser shows a page no answer to a handshake, but a close code."""
    try:
        await websocket.accept()
        await websocket.send_text(error_frame(error.code, error.message).decode())
        await websocket.close(outcome_of(error).close, error.message[:120])
    except (OSError, RuntimeError, WebSocketDisconnect):
        pass  # Gone meanwhile.
