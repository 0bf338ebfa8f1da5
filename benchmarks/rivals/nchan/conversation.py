"""What the load says to nchan: plain text frames, as long as those that ours sends."""

import json
from typing import Final

from benchmarks import wire
from benchmarks.opening import Turns, connect, open_sockets
from benchmarks.publishers import MarkedPublisher

__all__ = ["HttpPublisher", "NchanGreeting", "SocketPublisher"]

_BODY: Final = json.dumps(
    {
        "id": "s0000000",
        "type": "next",
        "payload": {
            "data": {
                "messages": {
                    "id": "0" * 36,
                    "clientId": "bench",
                    "created": 1_700_000_000_000,
                    "data": wire.DATA,
                    "username": None,
                }
            }
        },
    },
    separators=(",", ":"),
)
"""What a subscriber of ours is sent: so a frame of nchan's is as long."""

_ANSWERED: Final = b"last message id"
"""Answers vary in length, by how long ago somebody asked; this is once in each."""


class NchanGreeting:
    """A subscription is its address: nothing is said after the handshake."""

    def request(self, widget: str) -> bytes:
        return wire.handshake(f"/subscribe?channel={widget}", None)

    def turns(self, number: int, widget: str, *, confirmed: bool) -> Turns:  # noqa: ARG002
        return []


class HttpPublisher(MarkedPublisher):
    """POST requests over one keep-alive connection, one at a time."""

    def __init__(self, port: int, widget: str) -> None:
        request = (
            f"POST /publish?channel={widget} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(_BODY)}\r\n\r\n{_BODY}"
        )
        super().__init__(connect(port), [request.encode()] * 2, _ANSWERED)


class SocketPublisher(MarkedPublisher):
    """Frames over a publisher's WebSocket, `depth` of them unanswered at most."""

    def __init__(self, port: int, widget: str, depth: int) -> None:
        handshake = wire.handshake(f"/publish?channel={widget}", None)
        (opened,) = open_sockets(port, 1, handshake, lambda _: [])
        super().__init__(opened, [wire.text(_BODY)] * (2 * depth), _ANSWERED)
