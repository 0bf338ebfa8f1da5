"""Subscribers of every kind that come back whatever happens, and go on after what they heard."""

import asyncio
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from benchmarks import wire
from benchmarks.faults.client import Address, Subscriber, WebSocketClient

__all__ = [
    "EventsSubscriber",
    "Listener",
    "OldSubscriber",
    "ResultWatcher",
    "Returning",
    "StreamSubscriber",
    "VoteFollower",
]

_DROPPED: Final = 1006
_MESSAGE: Final = re.compile(rb'"id":"([0-9a-f-]{36})"[^{}]*?"data":"(\d{9})x*"')
_LONGEST_BYTES: Final = 65_536
"""Of an event or a part, with room to spare."""


class Returning(Protocol):
    """A client that comes back."""

    live: bool
    returns: bool
    wrong: list[str]

    def connect(self) -> None:
        """Begin to connect."""

    def cut(self) -> None:
        """Break the connection."""


class Listener(Returning, Protocol):
    """A subscriber that comes back and goes on."""

    refused: int
    closed: Counter[int]

    @property
    def heard(self) -> "array[int]":
        """The numbers it heard, in order, over all its connections."""


class EventsSubscriber(Subscriber):
    """One of `channelEvents`."""

    def ask(self, number: int, widget: str, after: str | None) -> bytes:
        return wire.resume(number, widget, after, wire.EVENTS) + wire.marker()


class OldSubscriber(Subscriber):
    """One on the subprotocol of subscriptions-transport-ws."""

    @staticmethod
    def handshake() -> bytes:
        return wire.handshake(subprotocol=wire.OLD_SUBPROTOCOL)

    def ask(self, number: int, widget: str, after: str | None) -> bytes:
        old = wire.OLD_SUBPROTOCOL
        return wire.resume(number, widget, after, subprotocol=old) + wire.marker(old)


class StreamSubscriber(asyncio.Protocol):
    """One over HTTP: server-sent events, or a multipart response.

    Args:
        address: of the server.
        widget: the channel.
        media_type: of the stream.
        retry: as for `Subscriber`.
    """

    def __init__(
        self, address: Address, widget: str, media_type: str, retry: Callable[[int], float]
    ) -> None:
        self.live = False
        self.returns = True
        self.refused = 0
        self.wrong: list[str] = []
        self.closed: Counter[int] = Counter()
        self.heard: array[int] = array("L")
        self._address = address
        self._widget = widget
        self._media_type = media_type
        self._retry = retry
        self._retries = 0
        self._cursor: str | None = None
        self._running: asyncio.Task[None] | None = None

    def connect(self) -> None:
        """Begin to connect."""
        self._running = asyncio.create_task(self._run())

    def cut(self) -> None:
        """Break the connection."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._address.port)
            writer.write(wire.resume_stream(self._media_type, self._widget, self._cursor))
            await self._listen(reader)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            if writer is not None:
                writer.transport.abort()
                self.closed[_DROPPED] += self.live
            self.live = False
            if self.returns:
                asyncio.get_running_loop().call_later(self._retry(self._retries), self._return)
                self._retries += 1

    def _return(self) -> None:
        if self.returns:
            self.connect()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" not in head.lower():
            self._told(head + await reader.read())
            return
        self.live = True
        self._retries = 0
        rest = b""
        while size := int(await reader.readline() or b"0", 16):
            rest += (await reader.readexactly(size + 2))[:-2]
            taken = 0
            for found in _MESSAGE.finditer(rest):
                self._cursor = found[1].decode()
                self.heard.append(int(found[2]))
                taken = found.end()
            rest = rest[taken:]
            if b'"errors"' in rest:
                self._told(rest)
                return
            rest = rest[-_LONGEST_BYTES:]

    def _told(self, answer: bytes) -> None:
        if b'"UNAVAILABLE"' in answer:
            self.refused += 1
        else:
            self.wrong.append(answer[-500:].decode(errors="replace"))


class _Watcher(WebSocketClient):
    """A subscription of JSON on graphql-transport-ws, begun again as often as it ends."""

    def __init__(self, address: Address, retry: Callable[[int], float]) -> None:
        super().__init__(address, wire.handshake())
        self.live = False
        self.returns = True
        self.wrong: list[str] = []
        self._retry = retry

    def opened(self) -> None:
        self.write(wire.initialise())

    def said(self, text: bytes) -> None:
        if b'"connection_ack"' in text:
            self.write(self.subscription() + wire.marker())
        elif b'"marker"' in text:
            self.live = True
        elif b'"errors"' in text or b'"type":"error"' in text:
            if b'"UNAVAILABLE"' not in text:
                self.wrong.append(text[:500].decode(errors="replace"))
            self.cut()
        elif b'"next"' in text:
            self.told(json.loads(text)["payload"]["data"])

    def lost(self, code: int) -> None:  # noqa: ARG002 - any
        self.live = False
        if self.returns:
            asyncio.get_running_loop().call_later(self._retry(0), self._return)

    def _return(self) -> None:
        if self.returns:
            self.connect()

    def subscription(self) -> bytes:
        raise NotImplementedError

    def told(self, data: dict[str, dict[str, object]]) -> None:
        raise NotImplementedError


class ResultWatcher(_Watcher):
    """Watches how many messages a channel has.

    Args:
        address: of the server.
        widget: the channel.
        retry: as for `Subscriber`.
    """

    def __init__(self, address: Address, widget: str, retry: Callable[[int], float]) -> None:
        super().__init__(address, retry)
        self.count: object = None
        """The last that it was told."""
        self._widget = widget

    def subscription(self) -> bytes:
        return wire.live(0, self._widget, {"limit": 1}, "totalCount")

    def told(self, data: dict[str, dict[str, object]]) -> None:
        self.count = data["liveMessages"]["totalCount"]


class VoteFollower(_Watcher):
    """Knows which messages a channel has by its events alone: published, retracted.

    Args:
        address: of the server.
        widget: the channel.
        retry: as for `Subscriber`.
    """

    _EVENTS: Final = (
        "subscription ($widget: ID!, $after: ID) { channelEvents(projectId: "
        f'"{wire.PROJECT}", widgetId: $widget, after: $after) {{ kind: __typename '
        "... on MessagePublished { cursor message { id } } "
        "... on MessagesRetracted { cursor ids } } }"
    )

    def __init__(self, address: Address, widget: str, retry: Callable[[int], float]) -> None:
        super().__init__(address, retry)
        self.shown: set[str] = set()
        self.repeated = 0
        """Events that told what it knew."""
        self._retracted: set[str] = set()
        self._widget = widget
        self._cursor: str | None = None

    def subscription(self) -> bytes:
        return wire.resume(0, self._widget, self._cursor, self._EVENTS)

    def told(self, data: dict[str, dict[str, object]]) -> None:
        event = data["channelEvents"]
        if event["kind"] == "MessagePublished":
            message = event["message"]
            assert isinstance(message, dict)
            self.repeated += message["id"] in self.shown
            self.shown.add(message["id"])
        elif event["kind"] == "MessagesRetracted":
            ids = event["ids"]
            assert isinstance(ids, list)
            self.repeated += not self._retracted.isdisjoint(ids)
            self._retracted.update(ids)
            self.shown.difference_update(ids)
        else:
            return
        self._cursor = str(event["cursor"])
