"""What `widgetwire import` does: the lines of a file become stored messages."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import asyncpg

from app.domain.channel import Channel
from app.process.moving.connecting import connected
from app.process.moving.reading import NO_WIDGET, Line
from app.storage.transfer import Imported, IncomingMessage, store_batch

__all__ = ["Importing", "Told"]

_BATCH: Final = 5_000
_BATCH_BYTES: Final = 16 * 1024 * 1024
"""Two batches are in memory at a time."""
_AHEAD_MS: Final = 60_000
"""How far the clock of whoever wrote the file may be ahead."""


@dataclass(slots=True)
class Told:
    """What an import has come to."""

    stored: int = 0
    known: int = 0
    refused: int = 0


class Importing:
    """One import.

    Args:
        url: of the database.
        project_id: where to.
        widget_id: into one widget, whatever the lines name; None: as they say.
        skip_bad: leave bad lines out and go on; else end at the first one.
        bad: told of each bad line: its number, and why.
        went_on: told of the bytes read with each batch that is stored.
    """

    def __init__(
        self,
        url: str,
        project_id: str,
        widget_id: str | None,
        *,
        skip_bad: bool,
        bad: Callable[[int, str], None],
        went_on: Callable[[int], None],
    ) -> None:
        self._url = url
        self._project_id = project_id
        self._widget_id = widget_id
        self._skip_bad = skip_bad
        self._bad = bad
        self._went_on = went_on
        self.told = Told()

    async def store(self, lines: Iterator[Line]) -> bool:
        """Store them; return whether all were looked at: not where a bad one has ended it.

        What was stored stays stored. To import the file again goes on: messages that are there
        are known by their ids.

        Raises:
            DatabaseUnreachable: it went away.
        """
        async with connected(self._url, "import") as connection:
            reading = asyncio.create_task(self._read(lines))
            while batch := await reading:
                # While the database works, the next batch is read.
                reading = asyncio.create_task(self._read(lines))
                try:
                    goes_on = await self._store(connection, batch)
                except BaseException:
                    await asyncio.gather(reading, return_exceptions=True)
                    raise
                if not goes_on:
                    await reading
                    return False
                self._went_on(sum(line.size for line in batch))
        return True

    @staticmethod
    async def _read(lines: Iterator[Line]) -> list[Line]:
        return await asyncio.to_thread(_batch, lines)

    async def _store(
        self, connection: "asyncpg.Connection[asyncpg.Record]", batch: list[Line]
    ) -> bool:
        incoming: list[IncomingMessage] = []
        problems: dict[int, str] = {}
        latest = int(time.time() * 1000) + _AHEAD_MS
        for line in batch:
            message = self._incoming(line, latest)
            if isinstance(message, str):
                problems[line.number] = message
                if not self._skip_bad:
                    break
            else:
                incoming.append(message)
        imported = Imported()
        if incoming:
            imported = await store_batch(connection, incoming, skip_refused=self._skip_bad)
        problems |= imported.refused
        self.told.stored += imported.stored
        self.told.known += imported.known
        for number in sorted(problems):
            self.told.refused += 1
            self._bad(number, problems[number])
            if not self._skip_bad:
                return False
        return True

    def _incoming(self, line: Line, latest: int) -> IncomingMessage | str:
        record = line.record
        if record is None:
            return line.problem
        widget_id = self._widget_id or record.widget_id
        if widget_id is None:
            return NO_WIDGET
        if record.created > latest:
            return f"created is {record.created}, which is in the future"
        assert record.id is not None, "checked"
        return (
            line.number,
            Channel(self._project_id, widget_id).key,
            record.id,
            record.client_id,
            record.created,
            record.username,
            bytes(record.data).decode(),
            record.idempotency_key,
            record.publisher,
        )


def _batch(lines: Iterator[Line]) -> list[Line]:
    """Return the next lines: 5,000, or fewer where they are long; empty at the end."""
    batch: list[Line] = []
    size = 0
    for line in islice(lines, _BATCH):
        batch.append(line)
        size += line.size
        if size >= _BATCH_BYTES:
            break
    return batch
