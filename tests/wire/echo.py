"""The smallest session: it answers each text with itself."""

from starlette.websockets import WebSocket

from app.wire.close_codes import CloseCode
from app.wire.session import Outlet
from app.wire.upgrade import Upgrade

__all__ = ["Echo", "echo"]


class Echo:
    """For one socket."""

    outlet: Outlet

    def opened(self, outlet: Outlet) -> None:
        self.outlet = outlet
        outlet.accept_peer()

    def received(self, text: str | bytes) -> None:
        assert isinstance(text, bytes)
        self.outlet.send(text)

    def received_binary(self) -> None:
        self.outlet.close(CloseCode.MALFORMED, "text only")

    busy = False

    def lost(self) -> None:
        """Forget nothing: there is nothing."""

    def shutdown(self) -> None:
        self.outlet.close(CloseCode.SERVICE_RESTART, "restarting")


async def echo(websocket: WebSocket) -> None:
    """Accept any socket; an endpoint for a `WebSocketRoute`."""
    Upgrade.of(websocket.scope).accept(Echo(), subprotocol=None, max_outbound_bytes=2**20)
