"""Which web pages may talk to this service: the Origin of a handshake, and CORS.

Browsers send `Origin` and enforce CORS for HTTP, but not for WebSockets: there the server
must look itself (RFC 6455, 10.2). No cookie is ever read, so a foreign page acts with no
more rights than its own token gives; the list keeps out pages nobody invited.
"""

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app import setting_names
from app.domain.origin import OriginList, parse_origin
from app.errors import ConfigurationError
from app.peer import Peer
from app.transports.refusals import log_refused_origin
from app.wire.peer import peer_of

__all__ = ["OriginPolicy"]

_PREFLIGHT_SECONDS: Final = 600
_EXPOSED: Final = ("ETag", "Retry-After", "X-Request-Id")
"""Fields of an answer that a page of another origin may see."""


class OriginPolicy:
    """The origins that may connect, besides this host's own.

    Args:
        allowed: see `OriginList`.

    Raises:
        ConfigurationError: one of them is no origin.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        try:
            self.listed = OriginList(allowed)
        except ValueError as error:
            raise ConfigurationError(f"{setting_names.ALLOWED_ORIGINS}: {error}") from None

    def allows(self, origin: str | None, host: str | None, peer: Peer | None = None) -> bool:
        """Return whether a WebSocket handshake may proceed; a refusal is logged.

        Args:
            origin: its `Origin` header; None: no browser sent it, allowed.
            host: its `Host` header. The origin's host and port must equal it; the scheme need
                not, since TLS may end at a proxy.
            peer: who asks, for the log.
        """
        if origin is None or origin in self.listed or _same_host(origin, host):
            return True
        log_refused_origin(origin, host, peer)
        return False

    def answer_fields(self, headers: Headers) -> list[tuple[str, str]] | None:
        """Return the header fields that an answer needs so that a page may read it.

        The same that `cors` adds to answers.

        Args:
            headers: of the request.

        Returns:
            Their names in lower case. None: the page may not connect, which `allows` logs.
        """
        origin = headers.get("origin")
        if origin is None:
            return []
        listed = origin in self.listed
        if not listed and not _same_host(origin, headers.get("host")):
            return None
        fields = [("access-control-expose-headers", ", ".join(_EXPOSED)), ("vary", "Origin")]
        if listed:
            fields.append(("access-control-allow-origin", "*" if self.listed.any else origin))
        return fields

    def cors(self) -> Middleware:
        """Return the CORS middleware for HTTP, of the same origins.

        Credentials are not allowed: tokens travel in a header that the page sets itself.
        """
        return Middleware(_Cors, policy=self)


class _Cors(CORSMiddleware):
    """Starlette's, asking `OriginPolicy` instead of a list and a pattern of its own."""

    def __init__(self, app: ASGIApp, policy: OriginPolicy) -> None:
        super().__init__(
            app,
            allow_origins=["*"] if policy.listed.any else [],
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
            max_age=_PREFLIGHT_SECONDS,
        )
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            # For its line in the log; the browser is who refuses.
            self._policy.allows(headers.get("origin"), headers.get("host"), peer_of(scope))
        await super().__call__(scope, receive, send)

    def is_allowed_origin(self, origin: str) -> bool:
        return origin in self._policy.listed


def _same_host(origin: str, host: str | None) -> bool:
    parsed = parse_origin(origin)
    return (
        parsed is not None
        and host is not None
        and parse_origin(f"{parsed.scheme}://{host}") == parsed
    )
