"""The whole service in this process: its application, its protocols, a real port."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from app.composition import create_app
from app.config import Settings
from app.wire.http import BoundedHttpProtocol
from app.wire.websocket import WebSocketProtocol

__all__ = ["hosted"]


@asynccontextmanager
async def hosted(database_url: str, **settings: Any) -> AsyncIterator[str]:
    """Serve a migrated database on a free port, and yield the host and the port.

    Args:
        database_url: of this test alone.
        settings: as `app.config.Settings` has them.
    """
    app = create_app(Settings(database_url=database_url, broadcast_url="memory://", **settings))
    config = uvicorn.Config(
        app,
        http=BoundedHttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=1 << 20,
        lifespan="on",
        log_config=None,
        access_log=bool(settings.get("access_log")),
    )
    # With its protocol named: else asyncio leaves Nagle on, and each answer over a connection that
    # is kept takes 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve([listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
            assert not serving.done(), "the service did not start"
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
