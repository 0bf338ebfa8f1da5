"""What the load says: bytes made once, sent as they are."""

import json
from collections.abc import Mapping
from typing import Final

__all__ = [
    "DATA",
    "EVENTS",
    "LEGACY_OPEN",
    "OLD_SUBPROTOCOL",
    "PROJECT",
    "handshake",
    "http_publish",
    "initialise",
    "legacy_handshake",
    "legacy_numbered",
    "legacy_open",
    "legacy_publish",
    "live",
    "marker",
    "numbered",
    "pong",
    "post",
    "publish",
    "resume",
    "resume_stream",
    "search",
    "socket_numbered",
    "stream",
    "subscribe",
    "text",
]

DATA: Final = "x" * 254
"""256 bytes as JSON."""

PROJECT: Final = "BENCHMRK"

OLD_SUBPROTOCOL: Final = "graphql-ws"
"""Of subscriptions-transport-ws."""

_SUBSCRIPTION: Final = (
    'subscription Watch($widget: ID!) { messages(projectId: "BENCHMRK", widgetId: $widget) '
    "{ id clientId created data username } }"
)
_PUBLISH: Final = (
    'mutation Say($widget: ID!, $data: JSON!) { publish(projectId: "BENCHMRK", '
    'widgetId: $widget, clientId: "bench", data: $data) { id created } }'
)
_LIVE: Final = (
    "subscription Watch($widget: ID!, $query: MessageQuery!) { "
    'liveMessages(projectId: "BENCHMRK", widgetId: $widget, query: $query) { %s } }'
)
_SEARCH: Final = (
    "query Search($widget: ID!, $query: MessageQuery!) { "
    'messages(projectId: "BENCHMRK", widgetId: $widget, query: $query) { %s } }'
)
_RESUME: Final = (
    'subscription Watch($widget: ID!, $after: ID) { messages(projectId: "BENCHMRK", '
    "widgetId: $widget, after: $after) { id clientId created data username } }"
)
EVENTS: Final = (
    'subscription Watch($widget: ID!, $after: ID) { channelEvents(projectId: "BENCHMRK", '
    "widgetId: $widget, after: $after) { ... on MessagePublished { message { id clientId created "
    "data username } } ... on MessagesRetracted { retracted: cursor ids } } }"
)
"""The subscription of `resume`, to all that befalls the channel."""
_NUMBERED: Final = (
    'mutation Say($widget: ID!, $data: JSON!, $key: ID) { publish(projectId: "BENCHMRK", '
    'widgetId: $widget, clientId: "bench", data: $data, id: $key) { id } }'
)


def text(message: str) -> bytes:
    """A masked text frame; the mask is zero, so that nothing needs masking."""
    payload = message.encode()
    if len(payload) < 126:
        return b"\x81" + bytes([0x80 | len(payload)]) + bytes(4) + payload
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


def pong(payload: bytes) -> bytes:
    """The answer to a ping; at most 125 bytes, as RFC 6455 has it for control frames."""
    return b"\x8a" + bytes([0x80 | len(payload)]) + bytes(4) + payload


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


def resume(
    number: int,
    widget: str,
    after: str | None,
    document: str = _RESUME,
    subprotocol: str = "graphql-transport-ws",
) -> bytes:
    """A subscription that goes on after a cursor; None: from the present."""
    variables = {"widget": widget, "after": after}
    return _operation(f"s{number:07d}", document, variables, subprotocol)


def marker(subprotocol: str = "graphql-transport-ws") -> bytes:
    """A query: its answer tells that what was sent before it has begun."""
    return _operation("marker", "{ __typename }", {}, subprotocol)


def publish(number: int, widget: str, data: object = DATA) -> bytes:
    """A mutation over a WebSocket."""
    return _operation(f"p{number:07d}", _PUBLISH, {"widget": widget, "data": data})


def _operation(
    identifier: str,
    query: str,
    variables: Mapping[str, object],
    subprotocol: str = "graphql-transport-ws",
) -> bytes:
    message = {
        "id": identifier,
        "type": "start" if subprotocol == OLD_SUBPROTOCOL else "subscribe",
        "payload": {"query": query, "variables": variables},
    }
    return text(json.dumps(message, separators=(",", ":")))


def post(payload: Mapping[str, object], accept: str = "application/json") -> bytes:
    """A GraphQL operation as an HTTP request."""
    body = json.dumps(payload).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Accept: {accept}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def stream(media_type: str, widget: str) -> bytes:
    """The same subscription as a request for a stream."""
    return post({"query": _SUBSCRIPTION, "variables": {"widget": widget}}, media_type)


def resume_stream(media_type: str, widget: str, after: str | None) -> bytes:
    """The subscription of `resume` as a request for a stream."""
    variables = {"widget": widget, "after": after}
    return post({"query": _RESUME, "variables": variables}, media_type)


def live(number: int, widget: str, query: Mapping[str, object], selection: str) -> bytes:
    """A live query.

    Args:
        number: of who watches.
        widget: the channel.
        query: a `MessageQuery`.
        selection: what is wanted of its `MessageResult`.
    """
    return _operation(f"l{number:07d}", _LIVE % selection, {"widget": widget, "query": query})


def search(widget: str, query: Mapping[str, object], selection: str) -> bytes:
    """The same query, asked once, as an HTTP request."""
    variables = {"widget": widget, "query": query}
    return post({"query": _SEARCH % selection, "variables": variables})


def http_publish(widget: str, data: object = DATA) -> bytes:
    """The same mutation as an HTTP request."""
    return post({"query": _PUBLISH, "variables": {"widget": widget, "data": data}})


def _data(number: int, length: int) -> str:
    return f"{number:09d}".ljust(length, "x")


def numbered(
    number: int, widget: str, key: str | None = None, length: int = len(DATA)
) -> dict[str, object]:
    """A mutation whose data begins with nine digits.

    Args:
        number: in the data.
        widget: the channel.
        key: idempotency key.
        length: of the data, in characters.
    """
    variables = {"widget": widget, "data": _data(number, length), "key": key}
    return {"query": _NUMBERED, "variables": variables}


def socket_numbered(number: int, widget: str, key: str, length: int) -> bytes:
    """The same over graphql-transport-ws; the number is the operation's id."""
    payload = numbered(number, widget, key, length)
    return text(json.dumps({"id": f"{number:09d}", "type": "subscribe", "payload": payload}))


def legacy_handshake(widget: str) -> bytes:
    """The request that opens a legacy socket."""
    return handshake(f"/c8/{PROJECT}/{widget}", None)


LEGACY_OPEN: Final = text('{"type":"open","client_id":"bench","persistent":true}')


def legacy_publish(number: int) -> bytes:
    """A publish on a legacy socket."""
    return text(json.dumps({"type": "publish", "ref": f"{number:07d}", "data": DATA}))


def legacy_open(after: str | None) -> bytes:
    """`open`, going on after a cursor; None: from the present."""
    message = {"type": "open", "client_id": "bench", "persistent": True}
    return text(json.dumps(message if after is None else message | {"after": after}))


def legacy_numbered(number: int, key: str, length: int) -> bytes:
    """What `numbered` says, on a legacy socket; the number is the `ref`."""
    data = _data(number, length)
    message = {"type": "publish", "ref": f"{number:09d}", "data": data, "id": key}
    return text(json.dumps(message))
