"""WebSocket clients on the event loop, and subscribers that come back as graphql-ws does."""

import asyncio
import random
import socket
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from benchmarks import wire
from benchmarks.reader import Reader

__all__ = ["Address", "Subscriber", "WebSocketClient", "back_off"]

_BEGUN: Final = (
    b'{"id":"marker","type":"complete"',
    b'{"type":"complete","id":"marker"',
    b'{"type":"open"',
)
_DROPPED: Final = 1006
"""RFC 6455, 7.4.1: "the connection was closed abnormally, e.g., without […] a Close frame"."""


@dataclass(slots=True)
class Address:
    """Where a server is now; another may take its place."""

    port: int


def back_off(retries: int) -> float:
    """Seconds until the next try, as graphql-ws waits by default: 2ⁿ and 0.3 to 3 more."""
    return float(2**retries) + random.uniform(0.3, 3.0)


class WebSocketClient(asyncio.Protocol):
    """One connection at a time, connected again as often as its owner likes.

    Args:
        address: of the server.
        request: of the handshake.
    """

    def __init__(self, address: Address, request: bytes) -> None:
        self.address = address
        self.reader = Reader()
        self._request = request
        self.receive_buffer_bytes: int | None = None
        """Of its sockets from the next connection on; None: what the kernel gives."""
        self._head: bytes | None = b""
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connect(self) -> None:
        """Begin to connect; `opened` or `lost` follows."""
        self._head = b""
        self.reader = Reader(self.reader.heard)
        self._connecting = asyncio.create_task(self._connect())

    def cut(self) -> None:
        """Break the connection, as a network does."""
        if self._transport is not None:
            self._transport.abort()

    def stop_reading(self) -> None:
        """Take nothing off the connection any more, as a client that hangs; pings included."""
        if self._transport is not None:
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Take what has come meanwhile, and what comes."""
        if self._transport is not None:
            self._transport.resume_reading()

    def vanish(self) -> asyncio.Transport | None:
        """Leave the connection as it is, half open, as one whose network is gone; `lost` follows.

        Returns:
            What keeps it open, while it is kept.
        """
        left, self._transport = self._transport, None
        if left is not None:
            left.pause_reading()
            left.set_protocol(asyncio.Protocol())
            self.lost(_DROPPED)
        return left

    def write(self, frame: bytes) -> None:
        """Send a frame; to nobody while there is no connection."""
        if self._transport is not None:
            self._transport.write(frame)

    def opened(self) -> None:
        """The handshake is over."""

    def said(self, text: bytes) -> None:
        """The server said something that is no subscription's message."""

    def lost(self, code: int) -> None:
        """The connection is gone, with this close code."""

    # The asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            if b"\r\n\r\n" not in self._head:
                return
            if not self._head.startswith(b"HTTP/1.1 101"):
                self.cut()
                return
            data = self._head.partition(b"\r\n\r\n")[2]
            self._head = None
            self.opened()
        for text in self.reader.feed(data):
            self.said(text)
        while self.reader.pings:
            self.write(wire.pong(self.reader.pings.pop()))
        if self.reader.close_code is not None and self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a Protocol
        self._transport = None
        self.lost(self.reader.close_code or _DROPPED)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        connecting = socket.socket()
        connecting.setblocking(False)
        if self.receive_buffer_bytes is not None:
            # Before it connects: afterwards the other side has been promised more.
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer_bytes)
        try:
            await loop.sock_connect(connecting, ("127.0.0.1", self.address.port))
            await loop.create_connection(lambda: self, sock=connecting)
        except OSError:
            connecting.close()
            self.lost(_DROPPED)


class Subscriber(WebSocketClient):
    """Hears a channel over as many connections as it takes, each going on after the last.

    Args:
        address: of the server.
        number: its own, in its operation's id.
        widget: the channel.
        legacy: on the legacy socket instead of graphql-transport-ws.
        retry: seconds until it comes back, by the number of tries since it was live.
    """

    def __init__(
        self,
        address: Address,
        number: int,
        widget: str,
        *,
        legacy: bool,
        retry: Callable[[int], float],
    ) -> None:
        super().__init__(address, wire.legacy_handshake(widget) if legacy else self.handshake())
        self.live = False
        """Subscribed; what was missed may still be coming."""
        self.returns = True
        self.refused = 0
        """Tries to subscribe that were answered with UNAVAILABLE."""
        self.wrong: list[str] = []
        """Other errors that it was told: there should be none."""
        self.closed: Counter[int] = Counter()
        """How its connections ended, by close code; tries that did not connect left out."""
        self.arrivals: list[float] | None = None
        """When each of its numbers came, in the loop's seconds; None: not taken."""
        self._number = number
        self._widget = widget
        self._legacy = legacy
        self._retry = retry
        self._retries = 0
        self._cursor: str | None = None

    @staticmethod
    def handshake() -> bytes:
        """Return the request that opens its GraphQL socket."""
        return wire.handshake()

    @property
    def heard(self) -> "array[int]":
        """The numbers it heard, in order, over all its connections."""
        return self.reader.heard

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.arrivals is not None:
            now = asyncio.get_running_loop().time()
            self.arrivals += [now] * (len(self.heard) - len(self.arrivals))

    def opened(self) -> None:
        self.write(wire.legacy_open(self._cursor) if self._legacy else wire.initialise())

    def said(self, text: bytes) -> None:
        if b'"connection_ack"' in text:
            self.write(self.ask(self._number, self._widget, self._cursor))
        elif text.startswith(_BEGUN):
            self.live = True
            self._retries = 0
        elif b'"error' in text:
            if b'"UNAVAILABLE"' in text:
                self.refused += 1
            else:
                self.wrong.append(text[:500].decode(errors="replace"))
            self.cut()

    def ask(self, number: int, widget: str, after: str | None) -> bytes:
        """Return what subscribes on a GraphQL socket, and a marker."""
        return wire.resume(number, widget, after) + wire.marker()

    def lost(self, code: int) -> None:
        if self._head is None:
            self.closed[code] += 1
        self.live = False
        self._cursor = self.reader.cursor or self._cursor
        if self.returns:
            delay = self._retry(self._retries)
            self._retries += 1
            asyncio.get_running_loop().call_later(delay, self._return)

    def _return(self) -> None:
        if self.returns:
            self.connect()
