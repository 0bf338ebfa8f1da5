"""A TCP link to a server: it swallows what it should carry, or loses an answer, when it is told to.

A proxy on the event loop of the load. A peer that is swallowed notices nothing: no reset, no end.
"""

import asyncio
from contextlib import suppress
from typing import Final

__all__ = ["Link"]

_PIECE_BYTES: Final = 65_536


class _Connection:
    """One connection through the link."""

    def __init__(self) -> None:
        self.dead = False
        """Whether nothing passes it any more, though both ends believe in it."""
        self.losing = False
        """Whether its next answer is lost, and it with that."""
        self.writers: list[asyncio.StreamWriter] = []

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Link:
    """A port of this machine that leads to a server.

    Args:
        leads_to: a port of this machine, or the path of a Unix socket.
    """

    def __init__(self, leads_to: int | str) -> None:
        self.port = 0
        self.answers_lost = 0
        self._leads_to = leads_to
        self._open = asyncio.Event()
        self._open.set()
        self._closed = asyncio.Event()
        self._marker = b""
        self._to_lose = 0
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Take connections.

        Args:
            port: 0: a free one.
        """
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Break all connections and take no more. Idempotent."""
        self._closed.set()
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.abort()

    def swallow(self) -> None:
        """Carry nothing from now on; new connections are taken, and nothing passes them."""
        self._open.clear()

    def carry(self, *, forgotten: bool) -> None:
        """Carry again.

        Args:
            forgotten: nothing passes the connections there are, ever, as where a router has
                forgotten them; else what was sent meanwhile arrives now, as TCP sends it again.
        """
        if forgotten:
            for connection in self._connections:
                connection.dead = True
        self._open.set()

    def lose_answers(self, count: int, marker: bytes) -> None:
        """Let the next requests with this marker through, and break off in place of the answer."""
        self._to_lose, self._marker = count, marker

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection()
        connection.writers.append(writer)
        self._connections.add(connection)
        try:
            await self._open.wait()
            there = await self._reach()
            connection.writers.append(there[1])
            await asyncio.gather(
                self._pump(connection, reader, there[1], answers=False),
                self._pump(connection, there[0], writer, answers=True),
            )
        except OSError:
            pass  # it ends as a broken connection does
        finally:
            self._connections.discard(connection)
            connection.abort()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._leads_to, str):
            return await asyncio.open_unix_connection(self._leads_to)
        return await asyncio.open_connection("127.0.0.1", self._leads_to)

    async def _pump(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        while True:
            piece = await reader.read(_PIECE_BYTES)
            await self._open.wait()
            if connection.dead:
                if piece:
                    continue
                # One end has given it up. The other is not told.
                await self._closed.wait()
            if answers and connection.losing and piece:
                self.answers_lost += 1
                connection.abort()
                return
            if not piece:
                break
            if not answers and self._to_lose and self._marker in piece:
                self._to_lose -= 1
                connection.losing = True
            writer.write(piece)
            await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.close()
