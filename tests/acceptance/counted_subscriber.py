"""A subscriber that reads faster than any library, so that many of them can be watched.

It speaks graphql-transport-ws on a raw connection and keeps the ids it was sent, in order.
"""

import asyncio
import json
from typing import Any, Final

import msgspec

from tests.served import Served
from tests.wire.upgrade import request
from tests.wire.wire import client_frame

__all__ = ["CountedSubscriber"]

_TEXT: Final = 0x1
_PING: Final = 0x9
_PONG: Final = 0xA
_CLOSE: Final = 0x8


class _Message(msgspec.Struct):
    id: str


class _Data(msgspec.Struct):
    messages: _Message


class _Payload(msgspec.Struct):
    data: _Data


class _Next(msgspec.Struct, tag_field="type", tag="next"):
    payload: _Payload


class _Acknowledged(msgspec.Struct, tag_field="type", tag="connection_ack"):
    pass


_decoder: Final = msgspec.json.Decoder(_Next | _Acknowledged)


class CountedSubscriber(asyncio.Protocol):
    """Subscribes to `messages` with `after` or from now on; made by `connect`."""

    def __init__(self, handshake: bytes, frames: bytes) -> None:
        self._handshake = handshake
        self._frames = frames
        self._buffer = bytearray()
        self._upgraded = False
        self._transport: asyncio.Transport
        self._expected = -1
        self._arrived = asyncio.Event()
        self.acknowledged = asyncio.Event()
        self.ids: list[str] = []
        self.failure: str | None = None

    @classmethod
    async def connect(
        cls, served: Served, document: str, variables: dict[str, Any]
    ) -> "CountedSubscriber":
        """Return one whose `subscribe` is sent; the server may not have joined it yet."""
        address = served.url.removeprefix("http://")
        handshake = request(b"/graphql", b"Sec-WebSocket-Protocol: graphql-transport-ws")
        subscribe = {
            "type": "subscribe",
            "id": "1",
            "payload": {"query": document, "variables": variables},
        }
        frames = b"".join(
            client_frame(_TEXT, json.dumps(frame).encode())
            for frame in ({"type": "connection_init"}, subscribe)
        )
        host, _, port = address.partition(":")
        loop = asyncio.get_running_loop()
        _, subscriber = await loop.create_connection(
            lambda: cls(handshake, frames), host, int(port)
        )
        async with asyncio.timeout(20):
            await subscriber.acknowledged.wait()
        return subscriber

    async def received(self, number: int) -> list[str]:
        """Wait until so many messages came, and return the ids of all that came."""
        self._expected = number
        while len(self.ids) < number and self.failure is None:
            self._arrived.clear()
            await self._arrived.wait()
        assert self.failure is None, self.failure
        return self.ids

    def close(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        if not self._upgraded:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._upgraded = True
            start = end + 4
            self._transport.write(self._frames)
        while len(buffer) - start >= 2:
            length, body = buffer[start + 1], start + 2
            if length >= 126:
                wide = 2 if length == 126 else 8
                body += wide
                length = int.from_bytes(buffer[start + 2 : body], "big")
            if len(buffer) < body + length:
                break
            self._take(buffer[start] & 0xF, bytes(buffer[body : body + length]))
            start = body + length
        del buffer[:start]

    def connection_lost(self, _error: Exception | None) -> None:
        self._fail("the connection was lost")

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == _TEXT:
            try:
                frame = _decoder.decode(payload)
            except msgspec.ValidationError:
                self._fail(payload.decode())
                return
            if isinstance(frame, _Acknowledged):
                self.acknowledged.set()
                return
            self.ids.append(frame.payload.data.messages.id)
            if len(self.ids) == self._expected:
                self._arrived.set()
        elif opcode == _PING:
            self._transport.write(client_frame(_PONG, payload))
        elif opcode == _CLOSE:
            self._fail(f"closed with {payload!r}")

    def _fail(self, why: str) -> None:
        self.failure = self.failure or why
        self._arrived.set()
