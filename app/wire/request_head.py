"""What the head of an HTTP/1 request must be (RFC 9112), decided without I/O.

The parser (httptools) has checked the syntax of each line; here the lines are judged together.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

__all__ = ["Head", "HttpRefusal", "checked_head"]

_JUDGED: Final = frozenset(
    {b"host", b"transfer-encoding", b"content-length", b"connection", b"upgrade", b"expect"}
)
_AUTHORITY: Final = re.compile(
    # RFC 3986, 3.2.2: an IP literal in brackets, or a name, which may be empty; then a port.
    rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~!$&'()*+,;=%-]{0,255})(?::[0-9]{0,5})?"
)
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]+)(.*)", re.DOTALL)


class HttpRefusal(Exception):
    """Answer with this status and close the connection.

    Attributes:
        status: of the answer.
        text: its body.
        headers: fields besides those of the body and the connection.
    """

    def __init__(
        self, status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}


class Head(NamedTuple):
    """A head that is in order.

    Attributes:
        target: in origin-form (`/path?query`), or `*`.
        host: what replaces the `Host` header; None: nothing does.
        websocket: the request asks for a WebSocket.
        expects_continue: the client waits for a 100 before it sends the content.
    """

    target: bytes
    host: bytes | None
    websocket: bool
    expects_continue: bool


def checked_head(
    method: bytes, target: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]
) -> Head:
    """Return what a head asks for.

    Args:
        method: as it came.
        target: as it came, in any form.
        version: `1.0` or `1.1`.
        headers: their names in lower case.

    Raises:
        HttpRefusal: it breaks a rule that the parser does not know.
    """
    if version not in {"1.0", "1.1"}:
        raise HttpRefusal(
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
            f"the version is HTTP/{version}; allowed: HTTP/1.0 and HTTP/1.1",
        )
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _JUDGED:
            found.setdefault(name, []).append(value)
    _check_host(found.get(b"host", ()), version)
    if b"transfer-encoding" in found:
        _check_codings(found[b"transfer-encoding"], version)
    host = None
    if not target.startswith(b"/") or b"#" in target or not target.isascii():
        target, host = _origin_form(method, target)
    websocket = b"upgrade" in found and _wants_websocket(method, version, found)
    # RFC 9110, 10.1.1: "A server that receives a 100-continue expectation in an HTTP/1.0
    # request MUST ignore that expectation."
    expects = version == "1.1" and b"100-continue" in _listed(found.get(b"expect", ()))
    return Head(target, host, websocket, expects)


def _check_host(hosts: Sequence[bytes], version: str) -> None:
    # RFC 9112, 3.2: "A server MUST respond with a 400 (Bad Request) status code to any
    # HTTP/1.1 request message that lacks a Host header field and to any request message that
    # contains more than one Host header field line or a Host header field with an invalid
    # field value."
    if not hosts:
        if version == "1.1":
            raise _bad("the Host header is missing; HTTP/1.1 requires one")
    elif len(hosts) > 1:
        raise _bad(f"{len(hosts)} Host headers; expected one")
    elif not _AUTHORITY.fullmatch(hosts[0]):
        raise _bad("the Host header is malformed; expected HOST or HOST:PORT")


def _check_codings(values: Sequence[bytes], version: str) -> None:
    if version == "1.0":
        # RFC 9112, 6.1: "A server or client that receives an HTTP/1.0 message containing a
        # Transfer-Encoding header field MUST treat the message as if the framing is faulty".
        raise _bad("Transfer-Encoding is not supported with HTTP/1.0")
    codings = _listed(values)
    if not codings or codings[-1] != b"chunked":
        # 6.3: "If a Transfer-Encoding header field is present in a request and the chunked
        # transfer coding is not the final encoding, [...] the server MUST respond with the 400
        # (Bad Request) status code and then close the connection."
        raise _bad("the last transfer coding is not chunked: the end of the body is unknown")
    if len(codings) > 1:
        # 6.1: "A server that receives a request message with a transfer coding it does not
        # understand SHOULD respond with 501 (Not Implemented)."
        raise HttpRefusal(HTTPStatus.NOT_IMPLEMENTED, "unknown transfer coding; expected chunked")


def _origin_form(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """Return the target in origin-form, and the host if the target names one."""
    if method == b"CONNECT":
        # RFC 9110, 9.1: "An origin server that receives a request method that is unrecognized
        # or not implemented SHOULD respond with the 501 (Not Implemented) status code."
        raise HttpRefusal(
            HTTPStatus.NOT_IMPLEMENTED, "CONNECT is not supported: this server is not a proxy"
        )
    if b"#" in target or not target.isascii():
        raise _bad("the request target is not a valid URI")
    if target == b"*" and method == b"OPTIONS":
        return target, None
    absolute = _ABSOLUTE.fullmatch(target)
    # RFC 9110, 4.2.4: a recipient "SHOULD parse for userinfo and treat its presence as an
    # error"; the pattern of an authority has none.
    if absolute is None or not _AUTHORITY.fullmatch(absolute[1]):
        raise _bad("the request target is neither a path nor an http URI")
    path = absolute[2]
    # RFC 9112, 3.2.2: "When an origin server receives a request with an absolute-form of
    # request-target, the origin server MUST ignore the received Host header field (if any) and
    # instead use the host information of the request-target."
    return path if path.startswith(b"/") else b"/" + path, absolute[1]


def _wants_websocket(method: bytes, version: str, found: dict[bytes, list[bytes]]) -> bool:
    # RFC 9110, 7.8: "A server MAY ignore a received Upgrade header field", and "MUST ignore an
    # Upgrade header field that is received in an HTTP/1.0 request."
    if (
        version != "1.1"
        or method != b"GET"
        or b"websocket" not in _listed(found[b"upgrade"])
        or b"upgrade" not in _listed(found.get(b"connection", ()))
    ):
        return False
    if b"transfer-encoding" in found or found.get(b"content-length", [b"0"])[0].strip(b"0"):
        # 7.8: "A client cannot begin using an upgraded protocol on the connection until it has
        # completely sent the request message". No handshake has content: what follows would be
        # read as frames.
        raise _bad("the upgrade request has a body; expected none")
    return True


def _listed(values: Sequence[bytes]) -> list[bytes]:
    # RFC 9110, 5.3: several fields of one name are one list.
    return [
        item for value in values for part in value.split(b",") if (item := part.strip().lower())
    ]


def _bad(text: str) -> HttpRefusal:
    return HttpRefusal(HTTPStatus.BAD_REQUEST, text)
