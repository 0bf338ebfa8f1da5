"""`/c8/player-api.js` and its types: the script that a widget's page includes.

Read once, kept in memory, revalidated by ETag. A page of any origin may run a script;
who may read it as text is decided by CORS, like everything over HTTP.
"""

import hashlib
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["player_api_routes"]

_MAX_AGE_SECONDS: Final = 3600
"""How long a page may run an old script after an upgrade; the wire stays compatible."""

_FILES: Final = {
    "player-api.js": "text/javascript; charset=utf-8",
    "player-api.d.ts": "application/typescript; charset=utf-8",
}


class _StaticFile:
    """One file, with everything a cache wants to know about it."""

    def __init__(self, name: str, media_type: str) -> None:
        self._content = resources.files("app").joinpath("static", name).read_bytes()
        self._etag = f'"{hashlib.sha256(self._content).hexdigest()[:32]}"'
        self._headers = {
            "Content-Type": media_type,
            "ETag": self._etag,
            "Cache-Control": f"public, max-age={_MAX_AGE_SECONDS}, stale-while-revalidate=86400",
            "X-Content-Type-Options": "nosniff",
            # For pages that are cross-origin isolated: they load nothing without it.
            "Cross-Origin-Resource-Policy": "cross-origin",
        }

    async def __call__(self, request: Request) -> Response:
        if self._is_known(request.headers.get("if-none-match")):
            return Response(status_code=304, headers=self._headers)
        return Response(self._content, headers=self._headers)

    def _is_known(self, if_none_match: str | None) -> bool:
        # RFC 9110, 13.1.2: "A recipient MUST use the weak comparison function".
        known = (tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(","))
        return any(tag in (self._etag, "*") for tag in known)


def player_api_routes(prefix: str = "/c8") -> list[Route]:
    """Return the routes of the script and its types; GET and HEAD.

    Args:
        prefix: where the legacy sockets live too: the script finds them beside itself.
    """
    return [
        Route(f"{prefix}/{name}", _StaticFile(name, media_type).__call__, methods=["GET"])
        for name, media_type in _FILES.items()
    ]
