"""Opening connections, and what is said until a subscription has begun."""

import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from benchmarks import wire

__all__ = [
    "AT_ONCE",
    "TIMEOUT_SECONDS",
    "GraphQLGreeting",
    "Greeting",
    "LegacyGreeting",
    "StreamGreeting",
    "Turns",
    "connect",
    "open_sockets",
    "receive_until",
]

AT_ONCE: Final = 64
"""Connections opened at a time."""

TIMEOUT_SECONDS: Final = 30.0
"""For each answer meanwhile."""

Turns: TypeAlias = list[tuple[bytes, bytes]]
"""What to send, and what the answer to it ends with; nothing: no answer is waited for."""


class Greeting(Protocol):
    """What is said until a subscription has begun."""

    def request(self, widget: str) -> bytes:
        """The handshake."""

    def turns(self, number: int, widget: str, *, confirmed: bool) -> Turns:
        """What follows it.

        Args:
            number: of the subscriber.
            widget: the channel.
            confirmed: wait until the subscription has begun.
        """


class GraphQLGreeting:
    """A subscription over graphql-transport-ws; a query after it tells that it has begun."""

    def request(self, widget: str) -> bytes:  # noqa: ARG002 - the subscription names it
        return wire.handshake()

    def turns(self, number: int, widget: str, *, confirmed: bool) -> Turns:
        asked = wire.subscribe(number, widget)
        end = (asked + wire.marker(), b'"complete"') if confirmed else (asked, b"")
        return [(wire.initialise(), b"connection_ack"), end]


class LegacyGreeting:
    """`open` on a legacy socket, which listens from then on."""

    def request(self, widget: str) -> bytes:
        return wire.legacy_handshake(widget)

    def turns(self, number: int, widget: str, *, confirmed: bool) -> Turns:  # noqa: ARG002
        return [(wire.LEGACY_OPEN, b'"open"' if confirmed else b"")]


class StreamGreeting:
    """A streamed response: the subscription is the request.

    Args:
        media_type: of the stream.
    """

    def __init__(self, media_type: str) -> None:
        self._media_type = media_type

    def request(self, widget: str) -> bytes:
        return wire.stream(self._media_type, widget)

    def turns(self, number: int, widget: str, *, confirmed: bool) -> Turns:  # noqa: ARG002
        return []


def connect(port: int) -> socket.socket:
    """Open a TCP connection that sends at once and waits 30 s at most."""
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(TIMEOUT_SECONDS)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def receive_until(client: socket.socket, end: bytes) -> bytes:
    """Receive until `end` has come, and return all that has.

    Raises:
        RuntimeError: the server hung up before.
    """
    received = b""
    while end not in received:
        chunk = client.recv(65536)
        if not chunk:
            raise RuntimeError(f"the server hung up after {received[-300:]!r}")
        received += chunk
    return received


def open_sockets(
    port: int,
    count: int,
    request: bytes,
    said: Callable[[int], Turns],
    tick: Callable[[int], None] = lambda _: None,
) -> list[socket.socket]:
    """Open WebSockets or streams, 64 at a time.

    Args:
        port: of the server.
        count: how many.
        request: of the handshake, or of a streamed response.
        said: after it, for each connection by number.
        tick: told how many more are open.
    """
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        batch = []
        first = len(sockets)
        for _ in range(min(AT_ONCE, count - first)):
            client = connect(port)
            client.sendall(request)
            batch.append(client)
        for client in batch:
            answer = receive_until(client, b"\r\n\r\n")
            if not answer.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")):
                raise RuntimeError(f"the handshake was answered with {answer[:200]!r}")
        turns = [said(first + number) for number in range(len(batch))]
        for step in range(max(map(len, turns))):
            for client, turn in zip(batch, turns, strict=True):
                if step < len(turn):
                    client.sendall(turn[step][0])
            for client, turn in zip(batch, turns, strict=True):
                if step < len(turn) and turn[step][1]:
                    receive_until(client, turn[step][1])
        for client in batch:
            client.setblocking(False)
        sockets += batch
        tick(len(batch))
    return sockets
