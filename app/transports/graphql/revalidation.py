"""Answers to GET that a client may keep, and asks about before it uses them again.

The tag is strong: it is that of the very bytes, in one media type. A query that fails is
never kept. https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
"""

import re
from collections.abc import Sequence
from hashlib import blake2b
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from app.transports.client_tokens import CLIENT_HEADER
from app.transports.graphql.negotiation import MediaType

__all__ = ["Revalidated", "entity_tag", "is_current"]

_DIGEST_BYTES: Final = 16
_SUCCEEDED: Final = b'{"data":'
"""How an answer without errors begins: they come first."""
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')
_VARY: Final = (b"vary", b"Accept, Authorization, Widgetwire-Client")
_PERSONAL: Final = ("authorization", CLIENT_HEADER)


def entity_tag(payload: bytes, media_type: MediaType) -> bytes:
    """Return the strong entity tag of an answer, in its quotation marks."""
    digest = blake2b(payload, digest_size=_DIGEST_BYTES, key=media_type.value.encode())
    return b'"' + digest.hexdigest().encode() + b'"'


def is_current(if_none_match: Sequence[str], tag: bytes) -> bool:
    """Return whether the client has what the tag stands for.

    Args:
        if_none_match: the header fields of that name.
        tag: of the present answer.
    """
    for field in if_none_match:
        # RFC 9110, 13.1.2: "A recipient MUST use the weak comparison function when comparing
        # entity tags for If-None-Match", so that a proxy may have made a strong one weak.
        if field.strip() == "*" or tag.decode() in _TAG.findall(field):
            return True
    return False


class Revalidated:
    """The answer to a GET of a query: in full, or 304 where the client has it.

    Args:
        payload: the response.
        media_type: what it is sent as.
        content_type: that with its charset.
        headers: of the request.
    """

    __slots__ = ("_content_type", "_headers", "_media_type", "_payload")

    def __init__(
        self, payload: bytes, media_type: MediaType, content_type: bytes, headers: Headers
    ) -> None:
        self._payload = payload
        self._media_type = media_type
        self._content_type = content_type
        self._headers = headers

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it, as ASGI calls it."""
        status, payload = HTTPStatus.OK, self._payload
        headers = [_VARY]
        if payload.startswith(_SUCCEEDED):
            tag = entity_tag(payload, self._media_type)
            # Kept by whoever likes, and asked about each time; with a token by the client alone.
            private = b"private, " if any(one in self._headers for one in _PERSONAL) else b""
            # RFC 9110, 15.4.5: a 304 has these as the full answer would have them.
            headers += [(b"etag", tag), (b"cache-control", private + b"no-cache")]
            if is_current(self._headers.getlist("if-none-match"), tag):
                status, payload = HTTPStatus.NOT_MODIFIED, b""
        else:
            headers.append((b"cache-control", b"no-store"))
        if status is HTTPStatus.OK:
            headers += [
                (b"content-type", self._content_type),
                (b"content-length", b"%d" % len(payload)),
            ]
        await send({"type": "http.response.start", "status": status.value, "headers": headers})
        await send({"type": "http.response.body", "body": payload})
