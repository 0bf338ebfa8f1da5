"""A GraphQL client on one WebSocket (graphql-transport-ws) that misses nothing of what is said.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

import asyncio
import json
from itertools import count
from typing import Any, Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.served import Served

__all__ = ["PATIENCE_SECONDS", "Disconnected", "GraphQLSocket", "Refused", "Subscription", "one"]

PATIENCE_SECONDS: Final = 20
"""How long anything is waited for; a machine under load is slow, not wrong."""


class Refused(Exception):
    """An operation was answered with errors.

    Args:
        errors: as the response has them.
    """

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(json.dumps(errors))
        self.errors = errors

    @property
    def code(self) -> str:
        """The first error's `extensions.code`."""
        return str(self.errors[0]["extensions"]["code"])


class Disconnected(Exception):
    """The socket was closed while something was waited for.

    Args:
        code: the close code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Subscription:
    """What one operation was sent, in order."""

    def __init__(self, socket: "GraphQLSocket", operation_id: str) -> None:
        self._socket = socket
        self.id = operation_id
        self.frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def next(self, seconds: float = PATIENCE_SECONDS) -> Any:
        """Return the one root field of the next response; raise as `next_data` does."""
        (value,) = (await self.next_data(seconds)).values()
        return value

    async def next_data(self, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Return the root fields of the next response.

        Raises:
            Refused: it has errors, or the operation ended with one.
            Disconnected: the socket was closed.
            StopAsyncIteration: the operation is complete.
        """
        async with asyncio.timeout(seconds):
            frame = await self.frames.get()
        match frame["type"]:
            case "next":
                return _data(frame["payload"])
            case "error":
                raise Refused(frame["payload"])
            case "complete":
                raise StopAsyncIteration
        raise Disconnected(frame["code"])

    async def take(self, number: int) -> list[Any]:
        """Return the next responses."""
        return [await self.next() for _ in range(number)]

    async def until(self, wanted: Any) -> list[Any]:
        """Return the next responses up to the one that equals `wanted`, within the patience."""
        seen: list[Any] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not seen or seen[-1] != wanted:
                seen.append(await self.next(PATIENCE_SECONDS))
        return seen

    async def complete(self) -> None:
        """End it; returns when the server has taken note."""
        await self._socket.send(type="complete", id=self.id)
        await self._socket.execute("{ __typename }")

    def nothing_waits(self) -> bool:
        """Whether all that came was taken."""
        return self.frames.empty()


class GraphQLSocket:
    """One connection; use it with `async with`.

    Args:
        served: the service.
        payload: of `connection_init`.
    """

    def __init__(self, served: Served, payload: dict[str, Any] | None = None) -> None:
        self._url = f"{served.ws_url}/graphql"
        self._payload = payload
        self._operations: dict[str, Subscription] = {}
        self._ids = count(1)
        self._code: int | None = None
        self._reader: asyncio.Task[None]
        self.connection: ClientConnection

    async def __aenter__(self) -> Self:
        self.connection = await connect(
            self._url,
            subprotocols=[Subprotocol("graphql-transport-ws")],
            compression=None,
            max_size=None,
            ping_interval=None,
        )
        await self.send(type="connection_init", payload=self._payload)
        async with asyncio.timeout(PATIENCE_SECONDS):
            acknowledged = json.loads(await self.connection.recv())
        assert acknowledged["type"] == "connection_ack"
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()
        await self._reader

    async def send(self, **frame: Any) -> None:
        """Send one frame."""
        await self.connection.send(json.dumps(frame))

    async def start(self, document: str, **variables: Any) -> Subscription:
        """Begin an operation of any kind."""
        operation = Subscription(self, str(next(self._ids)))
        if self._code is not None:
            raise Disconnected(self._code)
        self._operations[operation.id] = operation
        payload = {"query": document, "variables": variables}
        try:
            await self.send(type="subscribe", id=operation.id, payload=payload)
        except ConnectionClosed as closed:
            raise Disconnected(_code_of(closed)) from None
        return operation

    async def execute(self, document: str, **variables: Any) -> Any:
        """Carry out a query or mutation and return its one root field.

        Raises:
            Refused: it was answered with errors.
            Disconnected: the socket was closed first.
        """
        return await (await self.start(document, **variables)).next()

    async def execute_all(self, document: str, **variables: Any) -> dict[str, Any]:
        """Carry out a query of several root fields and return all of them.

        Raises:
            Refused, Disconnected: as `execute`.
        """
        return await (await self.start(document, **variables)).next_data()

    async def subscribe(self, document: str, **variables: Any) -> Subscription:
        """Begin a subscription; when this returns, it has joined or was refused."""
        subscription = await self.start(document, **variables)
        # Operations begin in the order sent: once this is answered, the other has begun.
        await self.execute("{ __typename }")
        return subscription

    async def closed(self) -> int:
        """Wait until the server closes, and return its close code."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.shield(self._reader)
        assert self._code is not None
        return self._code

    async def _read(self) -> None:
        try:
            while True:
                frame = json.loads(await self.connection.recv())
                if frame["type"] == "ping":
                    await self.send(type="pong")
                elif (operation := self._operations.get(frame.get("id"))) is not None:
                    operation.frames.put_nowait(frame)
                    if frame["type"] != "next":
                        del self._operations[operation.id]
        except ConnectionClosed as closed:
            self._code = _code_of(closed)
        for operation in self._operations.values():
            operation.frames.put_nowait({"type": "closed", "code": self._code})


def one(payload: dict[str, Any]) -> Any:
    """Return the one root field of a response.

    Raises:
        Refused: it has errors.
    """
    (value,) = _data(payload).values()
    return value


def _data(payload: dict[str, Any]) -> dict[str, Any]:
    if "errors" in payload:
        raise Refused(payload["errors"])
    data: dict[str, Any] = payload["data"]
    return data


def _code_of(closed: ConnectionClosed) -> int:
    return closed.rcvd.code if closed.rcvd is not None else 1006
