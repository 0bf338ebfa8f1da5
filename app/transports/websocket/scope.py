"""The ASGI scope of an upgrade request."""

import asyncio
from typing import Any
from urllib.parse import unquote

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from websockets.http11 import Request

__all__ = ["websocket_scope"]


def websocket_scope(
    request: Request,
    subprotocols: list[str],
    transport: asyncio.Transport,
    config: uvicorn.Config,
    app_state: dict[str, Any],
) -> Scope:
    """Return the scope, with the extension for denials that are whole HTTP responses."""
    raw_path, _, query_string = request.path.partition("?")
    return {
        "type": "websocket",
        "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if is_ssl(transport) else "ws",
        "server": get_local_addr(transport),
        "client": get_remote_addr(transport),
        "root_path": config.root_path,
        "path": config.root_path + unquote(raw_path),
        "raw_path": (config.root_path + raw_path).encode("latin-1", "replace"),
        "query_string": query_string.encode("latin-1", "replace"),
        # The ASGI specification wants names in lower case.
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1", "surrogateescape"))
            for name, value in request.headers.raw_items()
        ],
        "subprotocols": subprotocols,
        "state": app_state.copy(),
        "extensions": {"websocket.http.response": {}},
    }
