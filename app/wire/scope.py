"""The ASGI scope of an upgrade request."""

from typing import Any, Final
from urllib.parse import unquote

from starlette.types import Scope

__all__ = ["websocket_scope"]

_SCHEMES: Final = {"http": "ws", "https": "wss"}


def websocket_scope(
    http: Scope, target: bytes, subprotocols: list[str], extensions: dict[str, Any]
) -> Scope:
    """Return the scope of the ASGI call that answers the request.

    Args:
        http: of the request, as far as uvicorn fills it for an upgrade: without a path.
        target: of the request.
        subprotocols: what the client offers, its favourite first.
        extensions: by name.
    """
    raw_path, _, query_string = target.partition(b"?")
    root_path = http["root_path"]
    return {
        "type": "websocket",
        "asgi": {"version": http["asgi"]["version"], "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": _SCHEMES[http["scheme"]],
        "server": http["server"],
        "client": http["client"],
        "root_path": root_path,
        "path": root_path + unquote(raw_path.decode("latin-1")),
        "raw_path": root_path.encode("latin-1") + raw_path,
        "query_string": query_string,
        # uvicorn has put the names in lower case, as the ASGI specification wants them.
        "headers": http["headers"],
        "subprotocols": subprotocols,
        "state": http["state"],
        "extensions": extensions,
    }
