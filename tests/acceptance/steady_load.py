"""A steady load on one channel whose every message is accounted for, whatever happens meanwhile.

Publishers over GraphQL and over the legacy socket, each message under an idempotency key that
is sent again until it is acknowledged; subscribers of both kinds that stay connected.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from types import TracebackType
from typing import Any, Final, Self

from websockets.asyncio.client import ClientConnection, connect

from tests.acceptance.graphql_socket import PATIENCE_SECONDS, GraphQLSocket, Refused
from tests.acceptance.widget import Widget
from tests.served import Served

__all__ = ["SteadyLoad"]

_PUBLISHERS: Final = 4
"""Of each kind; with two workers both get some."""
_SUBSCRIBERS: Final = 3
_PAUSE_SECONDS: Final = 0.01
"""Between two publishes of one publisher, and before one is sent again."""

_Publish = Callable[[str], Awaitable[str | None]]
"""Publish under a key; the code of the refusal, or None: acknowledged."""


class SteadyLoad:
    """Publishes from `async with` until `settle`.

    Args:
        services: which share a database; publishers and subscribers are spread over them.
        padding: characters that each message is made longer by.
    """

    def __init__(self, *services: Served, padding: int = 0) -> None:
        self._services = services
        self._padding = padding
        self.widget = Widget.new()
        self.refused: list[str] = []
        """The codes of the refusals so far."""
        self._keys: list[str] = []
        self._acknowledged = [0.0] * 2 * _PUBLISHERS
        """For each publisher, when it began the publish that was acknowledged last."""
        self._progress = asyncio.Event()
        self._settling = False
        self._heard: list[list[str]] = []
        self._stack = AsyncExitStack()
        self._publishing: list[asyncio.Task[None]] = []
        self._hearing: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for number in range(_SUBSCRIBERS):
            served = self._services[number % len(self._services)]
            await self._hear_graphql(served)
            await self._hear_legacy(served)
        for number in range(_PUBLISHERS):
            served = self._services[number % len(self._services)]
            self._publish(await self._graphql_publisher(served))
            self._publish(await self._legacy_publisher(served))
        await self.goes_on(PATIENCE_SECONDS)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks = (*self._publishing, *self._hearing)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._stack.aclose()

    async def goes_on(self, seconds: float) -> float:
        """Wait until each publisher has begun a publish after this call and was acknowledged.

        Args:
            seconds: how long that may take.

        Returns:
            How long it took, in seconds.
        """
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            while min(self._acknowledged) < began:
                await self._more()
        return time.monotonic() - began

    async def is_refused(self, seconds: float) -> None:
        """Wait until one more publish is refused."""
        before = len(self.refused)
        async with asyncio.timeout(seconds):
            while len(self.refused) == before:
                await self._more()

    async def settle(self) -> int:
        """End the load; prove that each message is stored once and was heard once, in order.

        Returns:
            How many messages that were.
        """
        self._settling = True
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*self._publishing)
        async with GraphQLSocket(self._services[0]) as socket:
            stored = await self.widget.stored(socket)
        assert sorted(m["data"].rstrip() for m in stored) == sorted(self._keys)
        ids = [message["id"] for message in stored]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while min(map(len, self._heard)) < len(ids):
                await self._more()
        for heard in self._heard:
            assert heard == ids
        return len(ids)

    async def _more(self) -> None:
        for task in (*self._publishing, *self._hearing):
            if task.done():
                task.result()
        self._progress.clear()
        await self._progress.wait()

    def _publish(self, publish: _Publish) -> None:
        number = len(self._publishing)

        async def go_on() -> None:
            for turn in count():
                if self._settling:
                    return
                began, key = time.monotonic(), f"{number}-{turn}"
                self._keys.append(key)
                while (code := await publish(key)) is not None:
                    self.refused.append(code)
                    self._progress.set()
                    assert code == "UNAVAILABLE", code
                    await asyncio.sleep(_PAUSE_SECONDS)
                self._acknowledged[number] = began
                self._progress.set()
                await asyncio.sleep(_PAUSE_SECONDS)

        self._publishing.append(asyncio.create_task(_ending(self._progress, go_on())))

    def _hear(self, each: Callable[[], Awaitable[str | None]]) -> None:
        heard: list[str] = []
        self._heard.append(heard)

        async def go_on() -> None:
            while True:
                if (message_id := await each()) is not None:
                    heard.append(message_id)
                    self._progress.set()

        self._hearing.append(asyncio.create_task(_ending(self._progress, go_on())))

    async def _graphql_publisher(self, served: Served) -> _Publish:
        socket = await self._stack.enter_async_context(GraphQLSocket(served))

        async def publish(key: str) -> str | None:
            try:
                await self.widget.publish(socket, self._data(key), id=key, client_id="graphql")
            except Refused as refused:
                return refused.code
            return None

        return publish

    async def _legacy_publisher(self, served: Served) -> _Publish:
        socket = await self._legacy(served, client_id="legacy", persistent=True)
        refs = count()

        async def publish(key: str) -> str | None:
            ref = next(refs)
            frame = {"type": "publish", "ref": ref, "id": key, "data": self._data(key)}
            await socket.send(json.dumps(frame))
            answer: dict[str, Any] = {}
            while answer.get("ref") != ref:
                answer = json.loads(await socket.recv())  # or one of the channel's messages
            return answer.get("code")

        return publish

    async def _hear_graphql(self, served: Served) -> None:
        socket = await self._stack.enter_async_context(GraphQLSocket(served))
        subscription = await self.widget.subscribe(socket)

        async def each() -> str | None:
            return str((await subscription.next(60))["id"])

        self._hear(each)

    async def _hear_legacy(self, served: Served) -> None:
        socket = await self._legacy(served)

        async def each() -> str | None:
            frame: dict[str, Any] = json.loads(await socket.recv())
            return frame["message"]["id"] if frame["type"] == "message" else None

        self._hear(each)

    async def _legacy(self, served: Served, **fields: Any) -> ClientConnection:
        path = f"/c8/{self.widget.project}/{self.widget.widget}"
        socket = await self._stack.enter_async_context(
            # Publishers read what they wait for only: nothing may hold up their close.
            connect(served.ws_url + path, compression=None, max_queue=None)
        )
        await socket.send(json.dumps({"type": "open", **fields}))
        assert json.loads(await socket.recv())["type"] == "open"
        return socket

    def _data(self, key: str) -> str:
        return key.ljust(self._padding)


async def _ending(progress: asyncio.Event, work: Awaitable[None]) -> None:
    """Let whoever waits for progress hear of the end of `work` too."""
    try:
        await work
    finally:
        progress.set()
