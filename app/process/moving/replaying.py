"""What `widgetwire replay` does: a recorded event is published again, in its own rhythm."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

from uuid_utils import uuid7

from app.composition.services import bus_backend
from app.config import Settings
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.message import Draft
from app.domain.record import Record
from app.errors import ConfigurationError, DatabaseUnreachable, Unavailable
from app.process.moving.reading import NO_WIDGET, Line
from app.storage.database import Database
from app.storage.history import MessageHistory
from app.storage.shared_history import SharedHistory
from app.storage.writer import MessageWriter

__all__ = ["MOST_MESSAGES", "recording_of", "replay"]

MOST_MESSAGES: Final = 500_000
"""They are held in memory: files have one channel after the other, and time has all at once."""
_IN_FLIGHT: Final = 1_000


def recording_of(lines: Iterable[Line], widget_id: str | None) -> Sequence[tuple[str, Record]]:
    """Return the messages of a file with their widgets, in the order of their times.

    Args:
        lines: of the file.
        widget_id: for all of them; None: as the lines say.

    Raises:
        ConfigurationError: a line is no message, or there are too many.
    """
    recording: list[tuple[str, Record]] = []
    for line in lines:
        if line.record is None:
            raise ConfigurationError(f"line {line.number}: {line.problem}")
        widget = widget_id or line.record.widget_id
        if widget is None:
            raise ConfigurationError(f"line {line.number}: {NO_WIDGET}")
        if len(recording) == MOST_MESSAGES:
            raise ConfigurationError(
                f"the file has more than {MOST_MESSAGES} messages: replay it in parts"
            )
        recording.append((widget, line.record))
    # Stable: what came at the same time stays in the order of the file.
    recording.sort(key=lambda one: one[1].created)
    return recording


async def replay(
    settings: Settings,
    project_id: str,
    recording: Sequence[tuple[str, Record]],
    *,
    speed: float,
    published: Callable[[int], None],
) -> None:
    """Publish the messages as they came, as new ones: with ids and times of their own.

    They are stored and reach all subscribers as any others do; channel policies, bans and limits
    are not asked. Keys are left out, so that the same file may be replayed again.

    Args:
        settings: with the database's URL.
        project_id: where to.
        recording: in the order of time.
        speed: 1: as fast as it was; 10: ten times as fast.
        published: told of each one.

    Raises:
        DatabaseUnreachable: it is away, or was for longer than publishing waits.
    """
    assert settings.database_url is not None
    try:
        async with AsyncExitStack() as stack:
            database = await Database.connect(settings.database_url, pool_size=2)
            stack.push_async_callback(database.close)
            hub = Hub(
                Bus(bus_backend(settings), str(uuid4())), SharedHistory(MessageHistory(database))
            )
            await hub.start()
            stack.push_async_callback(hub.stop)
            writer = MessageWriter(database, hub.publish_stored)
            stack.push_async_callback(writer.close)
            await _publish_all(writer, project_id, recording, speed, published)
    except Unavailable as error:
        raise DatabaseUnreachable(error.message) from error


async def _publish_all(
    writer: MessageWriter,
    project_id: str,
    recording: Sequence[tuple[str, Record]],
    speed: float,
    published: Callable[[int], None],
) -> None:
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(_IN_FLIGHT)
    began = loop.time()

    async def publish(widget_id: str, record: Record) -> None:
        try:
            await writer.write(
                Draft(
                    channel=Channel(project_id, widget_id),
                    id=str(uuid7()),
                    client_id=record.client_id,
                    username=record.username,
                    data_json=bytes(record.data),
                    publisher=record.publisher,
                )
            )
            published(1)
        finally:
            room.release()

    async with asyncio.TaskGroup() as tasks:
        for widget_id, record in recording:
            due = began + (record.created - recording[0][1].created) / 1000 / speed
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await room.acquire()
            tasks.create_task(publish(widget_id, record))
