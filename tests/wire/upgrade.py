"""The upgrade request of RFC 6455's example, and what it becomes when headers change."""

from starlette.types import Scope

__all__ = ["request", "scope"]

_UPGRADE = {
    b"host": b"localhost",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
}


def request(target: bytes = b"/", *headers: bytes) -> bytes:
    """Return the bytes of an upgrade request to `target`, with further headers."""
    fields = [name + b": " + value for name, value in _UPGRADE.items()]
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", *fields, *headers, b"", b""])


def scope(**changed: bytes | None) -> Scope:
    """Return an upgrade request with some headers changed, or left out."""
    headers = _UPGRADE | {name.replace("_", "-").encode(): value for name, value in changed.items()}
    return {
        "method": "GET",
        "http_version": "1.1",
        "headers": [(name, value) for name, value in headers.items() if value is not None],
    }
