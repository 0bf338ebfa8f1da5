"""The three sockets of the service, opened to say raw bytes on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.transports.ways import next_frame

__all__ = ["ENDPOINTS", "LEGACY_GRAPHQL", "WIDGET", "Endpoint", "opened"]


@dataclass(frozen=True)
class Endpoint:
    """One of them."""

    path: str
    subprotocol: str | None
    first: str
    """What introduces a client."""


_INIT: Final = '{"type":"connection_init"}'
LEGACY_GRAPHQL: Final = Endpoint("/graphql", "graphql-ws", _INIT)
WIDGET: Final = Endpoint("/c8/p/w", None, '{"type":"open"}')
ENDPOINTS: Final = {
    "graphql-transport-ws": Endpoint("/graphql", "graphql-transport-ws", _INIT),
    "graphql-ws": LEGACY_GRAPHQL,
    "widget": WIDGET,
}


@asynccontextmanager
async def opened(
    host: str, endpoint: Endpoint, *, introduced: bool = True
) -> AsyncIterator[ClientConnection]:
    """Open one; `socket.transport.write` says bytes on it.

    Args:
        host: and port.
        endpoint: which.
        introduced: whether the server has accepted its client when this returns.
    """
    offered = [Subprotocol(endpoint.subprotocol)] if endpoint.subprotocol else None
    async with connect(
        f"ws://{host}{endpoint.path}", subprotocols=offered, compression=None, max_size=None
    ) as socket:
        if introduced:
            await socket.send(endpoint.first)
            assert (await next_frame(socket))["type"] in {"connection_ack", "open"}
        yield socket
