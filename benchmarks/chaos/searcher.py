"""Searches all the time: what was acknowledged before is found, whichever worker answers."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from benchmarks import wire
from benchmarks.faults.client import Address

__all__ = ["Searcher"]

_PAUSE_SECONDS: Final = 0.25
_ANSWER_SECONDS: Final = 20.0


class Searcher:
    """Asks how many messages a channel has, each time over a new connection.

    Args:
        address: of the server.
        widget: the channel.
        acknowledged: how many messages are known to be stored.
    """

    def __init__(self, address: Address, widget: str, acknowledged: Callable[[], int]) -> None:
        self.answered = 0
        self.wrong: list[str] = []
        """Answers that missed something, and errors: there should be none."""
        self._address = address
        self._acknowledged = acknowledged
        self._request = wire.search(widget, {"limit": 1}, "totalCount")
        self._asking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._asking = asyncio.create_task(self._ask_forever())

    async def stop(self) -> None:
        """Ask no more. Idempotent."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask_forever(self) -> None:
        while True:
            with suppress(OSError, EOFError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._ask()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _ask(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._address.port)
        try:
            before = self._acknowledged()
            writer.write(self._request)
            body = await _body(reader)
        finally:
            writer.transport.abort()
        if b'"errors"' not in body:
            self.answered += 1
            count = json.loads(body)["data"]["messages"]["totalCount"]
            if count < before:
                self.wrong.append(f"a search found {count} of {before} acknowledged messages")
        elif b'"UNAVAILABLE"' not in body:
            self.wrong.append(body[:500].decode(errors="replace"))


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return await reader.readexactly(int(length))
