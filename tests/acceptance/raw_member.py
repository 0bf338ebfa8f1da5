"""One who listens to a channel over a bare connection, of each kind that a service knows.

Thousands of them fit into a test: nothing is decoded, and what came is searched as bytes.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from tests.acceptance.widget import Widget
from tests.served import Served
from tests.wire.upgrade import request
from tests.wire.wire import client_frame

__all__ = ["KINDS", "SOCKETS", "RawMember"]

_MESSAGES: Final = """subscription ($project: ID!, $widget: ID!) {
    messages(projectId: $project, widgetId: $widget, last: 1) { data } }"""
_RESULT: Final = """subscription ($project: ID!, $widget: ID!) {
    liveMessages(projectId: $project, widgetId: $widget, query: {}) {
    messages { data } } }"""

SOCKETS: Final = ("graphql-transport-ws", "graphql-ws", "live result", "legacy")
_TIMEOUT_SECONDS: Final = 30
KINDS: Final = (*SOCKETS, "event stream", "multipart")


def _text(message: dict[str, Any]) -> bytes:
    return client_frame(0x1, json.dumps(message).encode())


def _request(document: str, widget: Widget, accept: str) -> bytes:
    body = json.dumps({"query": document, "variables": widget.ids})
    return (
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Accept: {accept}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _said(kind: str, widget: Widget) -> tuple[bytes, bytes]:
    """Return the request, and what follows its answer."""
    if kind == "legacy":
        # An empty `after` is before the first message.
        opened = {"type": "open", "persistent": True, "after": ""}
        return request(f"/c8/{widget.project}/{widget.widget}".encode()), _text(opened)
    if kind not in SOCKETS:
        accept = {
            "event stream": "text/event-stream",
            "multipart": "multipart/mixed;subscriptionSpec=1.0",
        }[kind]
        return _request(_MESSAGES, widget, accept), b""
    subprotocol = "graphql-ws" if kind == "graphql-ws" else "graphql-transport-ws"
    payload = {
        "query": _RESULT if kind == "live result" else _MESSAGES,
        "variables": widget.ids,
    }
    start = "start" if kind == "graphql-ws" else "subscribe"
    return (
        request(b"/graphql", f"Sec-WebSocket-Protocol: {subprotocol}".encode()),
        _text({"type": "connection_init"}) + _text({"id": "1", "type": start, "payload": payload}),
    )


class RawMember(asyncio.Protocol):
    """A connection that listens to one channel, from its last message on.

    Args:
        kind: one of `KINDS`.
        widget: the channel.
    """

    def __init__(self, kind: str, widget: Widget) -> None:
        self.kind = kind
        self.received = bytearray()
        self.ended = False
        self._request, self._then = _said(kind, widget)
        self._came = asyncio.Event()
        self._transport: asyncio.BaseTransport | None = None

    @classmethod
    async def open(cls, served: Served, kind: str, widget: Widget) -> "RawMember":
        """Connect and say what makes it a member; `until` tells that it is one."""
        host, _, port = served.url.removeprefix("http://").rpartition(":")
        loop = asyncio.get_running_loop()
        _, member = await loop.create_connection(lambda: cls(kind, widget), host, int(port))
        return member

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # All at once: what follows an upgrade request is kept for the socket.
        transport.write(self._request + self._then)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._came.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a Protocol
        self.ended = True
        self._came.set()

    async def _wait(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            while not done():
                self._came.clear()
                await self._came.wait()

    async def until(self, text: bytes) -> None:
        """Wait until this came; an end before it fails the test."""
        await self._wait(lambda: text in self.received or self.ended)
        assert text in self.received, f"{self.kind} ended after {bytes(self.received[-300:])!r}"

    async def end(self) -> None:
        """Wait until the server, or its death, has ended the connection."""
        await self._wait(lambda: self.ended)

    @property
    def close_code(self) -> int | None:
        """The code of the close frame with which a socket ended; None: there was none."""
        _, found, rest = bytes(self.received[-125:]).rpartition(b"\x88")
        return int.from_bytes(rest[1:3], "big") if found and len(rest) >= 3 else None

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()
