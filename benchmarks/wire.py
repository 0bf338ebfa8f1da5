"""What the load says: bytes made once, sent as they are."""

import json
from typing import Final

__all__ = [
    "DATA",
    "LEGACY_OPEN",
    "PROJECT",
    "handshake",
    "http_publish",
    "initialise",
    "legacy_handshake",
    "legacy_publish",
    "marker",
    "publish",
    "subscribe",
    "text",
]

DATA: Final = "x" * 254
"""256 bytes as JSON."""

PROJECT: Final = "BENCHMRK"

_SUBSCRIPTION: Final = (
    'subscription Watch($widget: ID!) { messages(projectId: "BENCHMRK", widgetId: $widget) '
    "{ id clientId created data username } }"
)
_PUBLISH: Final = (
    'mutation Say($widget: ID!, $data: JSON!) { publish(projectId: "BENCHMRK", '
    'widgetId: $widget, clientId: "bench", data: $data) { id created } }'
)


def text(message: str) -> bytes:
    """A masked text frame; the mask is zero, so that nothing needs masking."""
    payload = message.encode()
    if len(payload) < 126:
        return b"\x81" + bytes([0x80 | len(payload)]) + bytes(4) + payload
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


def handshake(path: str = "/graphql", subprotocol: str | None = "graphql-transport-ws") -> bytes:
    """The request that opens a WebSocket."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def initialise() -> bytes:
    """`connection_init`."""
    return text('{"type":"connection_init"}')


def subscribe(number: int, widget: str) -> bytes:
    """A subscription whose operation id is its own, and as long as every other."""
    return _operation(f"s{number:07d}", _SUBSCRIPTION, {"widget": widget})


def marker() -> bytes:
    """A query: its answer tells that what was sent before it has begun."""
    return _operation("marker", "{ __typename }", {})


def publish(number: int, widget: str) -> bytes:
    """A mutation over a WebSocket."""
    return _operation(f"p{number:07d}", _PUBLISH, {"widget": widget, "data": DATA})


def _operation(identifier: str, query: str, variables: dict[str, object]) -> bytes:
    message = {
        "id": identifier,
        "type": "subscribe",
        "payload": {"query": query, "variables": variables},
    }
    return text(json.dumps(message, separators=(",", ":")))


def http_publish(widget: str) -> bytes:
    """The same mutation as an HTTP request."""
    body = json.dumps({"query": _PUBLISH, "variables": {"widget": widget, "data": DATA}}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Accept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def legacy_handshake(widget: str) -> bytes:
    """The request that opens a legacy socket."""
    return handshake(f"/c8/{PROJECT}/{widget}", None)


LEGACY_OPEN: Final = text('{"type":"open","client_id":"bench","persistent":true}')


def legacy_publish(number: int) -> bytes:
    """A publish on a legacy socket."""
    return text(json.dumps({"type": "publish", "ref": f"{number:07d}", "data": DATA}))
