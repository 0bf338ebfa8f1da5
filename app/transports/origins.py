"""Which web pages may talk to this service: the Origin of a handshake, and CORS.

Browsers send `Origin` and enforce CORS for HTTP, but not for WebSockets: there the server
must look itself (RFC 6455, 10.2). No cookie is ever read, so a foreign page acts with no
more rights than its own token gives; the list keeps out pages nobody invited.
"""

import re
from collections.abc import Iterable
from typing import Final

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from app.errors import ConfigurationError, shown

__all__ = ["OriginPolicy"]

_ORIGIN: Final = re.compile(
    r"(https?)://([a-z0-9_.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(\d{1,5}))?", re.ASCII
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PREFLIGHT_SECONDS: Final = 600


class OriginPolicy:
    """The origins that may connect, besides this host's own.

    Args:
        allowed: origins as `https://example.com[:port]`; `*` allows every one.

    Raises:
        ConfigurationError: one of them is no origin.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        origins = tuple(allowed)
        self._any = "*" in origins
        self._allowed: set[tuple[str, str, int]] = set()
        for origin in origins:
            if origin == "*":
                continue
            parsed = _parse(origin)
            if parsed is None:
                raise ConfigurationError(
                    "WIDGETWIRE_ALLOWED_ORIGINS: expected origins such as https://example.com, "
                    f"got {shown(origin)}"
                )
            self._allowed.add(parsed)

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Return whether a WebSocket handshake may proceed.

        Args:
            origin: its `Origin` header; None: no browser sent it, allowed.
            host: its `Host` header. The origin's host and port must equal it; the scheme need
                not, since TLS may end at a proxy.
        """
        if origin is None or self._any:
            return True
        parsed = _parse(origin)
        # `null` comes from sandboxed frames and files: anybody's page.
        if parsed is None:
            return False
        return parsed in self._allowed or (
            host is not None and _parse(f"{parsed[0]}://{host}") == parsed
        )

    def cors(self) -> Middleware:
        """Return the CORS middleware for HTTP, of the same origins.

        Credentials are not allowed: tokens travel in a header that the page sets itself.
        """
        return Middleware(
            CORSMiddleware,
            allow_origins=["*"] if self._any else sorted(_written(*o) for o in self._allowed),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["ETag", "Retry-After"],
            max_age=_PREFLIGHT_SECONDS,
        )


def _parse(text: str) -> tuple[str, str, int] | None:
    matched = _ORIGIN.fullmatch(text.lower())
    if matched is None:
        return None
    scheme, host, digits = matched.groups()
    port = int(digits) if digits else _DEFAULT_PORTS[scheme]
    return (scheme, host, port) if port <= 65535 else None


def _written(scheme: str, host: str, port: int) -> str:
    """Return the form browsers send: the default port is left out."""
    return f"{scheme}://{host}" + ("" if port == _DEFAULT_PORTS[scheme] else f":{port}")
