"""How a numbered message is published: over HTTP, graphql-transport-ws or a legacy socket."""

import asyncio
from typing import Final, Protocol

from benchmarks import wire
from benchmarks.faults.client import Address, WebSocketClient

__all__ = ["Dropped", "HttpLink", "LegacyLink", "Link", "SocketLink", "Unavailable"]

_ANSWER_SECONDS: Final = 30.0


class Dropped(Exception):
    """The connection was lost before the answer came: stored or not, nobody knows."""


class Unavailable(Exception):
    """The server asks to try again later."""


class Link(Protocol):
    """A way to publish to one channel."""

    async def publish(self, number: int, length: int) -> None:
        """Publish data of so many characters; return when it is acknowledged.

        Raises:
            Dropped, Unavailable: send it again.
            RuntimeError: it was refused.
        """

    def close(self) -> None:
        """Hang up."""


def _key(number: int) -> str:
    return f"key-{number}"


def _check(answer: bytes) -> None:
    if b'"error' not in answer:
        return
    if b'"UNAVAILABLE"' in answer:
        raise Unavailable
    raise RuntimeError(f"a publish was answered with {answer[:500]!r}")


class HttpLink:
    """One keep-alive connection, one publish at a time."""

    def __init__(self, address: Address, widget: str) -> None:
        self._address = address
        self._widget = widget
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def publish(self, number: int, length: int) -> None:
        request = wire.post(wire.numbered(number, self._widget, _key(number), length))
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._address.port)
                reader, writer = self._streams
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_content_length(head))
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise Dropped from error
        if b"connection: close" in head.lower():
            self.close()
        _check(body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _content_length(head: bytes) -> int:
    return next(
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )


class _Pipelined(WebSocketClient):
    """Many publishes at a time on one socket, told apart by their numbers."""

    def __init__(self, address: Address, request: bytes) -> None:
        super().__init__(address, request)
        self._unanswered: dict[int, asyncio.Future[None]] = {}
        self._ready: asyncio.Future[None] | None = None

    async def publish(self, number: int, length: int) -> None:
        loop = asyncio.get_running_loop()
        answered = self._unanswered[number] = loop.create_future()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                if self._ready is None:
                    self._ready = loop.create_future()
                    self.connect()
                await asyncio.shield(self._ready)
                self.write(self._frame(number, length))
                await answered
        except TimeoutError as error:
            self.cut()
            raise Dropped from error
        finally:
            self._unanswered.pop(number, None)
            answered.cancel()

    def close(self) -> None:
        self.cut()

    def lost(self, code: int) -> None:  # noqa: ARG002 - any
        ready, self._ready = self._ready, None
        for waiting in (ready, *self._unanswered.values()):
            if waiting is not None and not waiting.done():
                waiting.set_exception(Dropped())
                waiting.exception()  # whoever waited may have given up

    def _frame(self, number: int, length: int) -> bytes:
        raise NotImplementedError

    def _serving(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def _answered(self, number: int, text: bytes) -> None:
        waiting = self._unanswered.get(number)
        if waiting is None or waiting.done():
            return
        try:
            _check(text)
        except (Unavailable, RuntimeError) as error:
            waiting.set_exception(error)
        else:
            waiting.set_result(None)


class SocketLink(_Pipelined):
    """Mutations over graphql-transport-ws."""

    def __init__(self, address: Address, widget: str) -> None:
        super().__init__(address, wire.handshake())
        self._widget = widget

    def opened(self) -> None:
        self.write(wire.initialise())

    def said(self, text: bytes) -> None:
        if b'"connection_ack"' in text:
            self._serving()
        elif b'"complete"' not in text:
            # {"id":"000000007","type":"next",…
            self._answered(int(text[7:16]), text)

    def _frame(self, number: int, length: int) -> bytes:
        return wire.socket_numbered(number, self._widget, _key(number), length)


class LegacyLink(_Pipelined):
    """Publishes on a legacy socket, which hears its channel too."""

    def __init__(self, address: Address, widget: str) -> None:
        super().__init__(address, wire.legacy_handshake(widget))

    def opened(self) -> None:
        self.write(wire.legacy_open(None))

    def said(self, text: bytes) -> None:
        if text.startswith(b'{"type":"open"'):
            self._serving()
        elif (place := text.find(b'"ref":"')) >= 0:
            # {"type":"ack","ref":"000000007",…
            self._answered(int(text[place + 7 : place + 16]), text)

    def _frame(self, number: int, length: int) -> bytes:
        return wire.legacy_numbered(number, _key(number), length)
