"""The services of one process: they run until they are ended, and leave nothing behind."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from app.composition.services import bus_backend, started
from app.config import Settings
from app.delivery.backends.memory import MemoryBackend
from app.domain.channel import Channel
from app.domain.viewer import Permission, Viewer

pytestmark = pytest.mark.anyio

ANN = Viewer("Ann", frozenset(Permission), subject="ann")


async def test_what_was_started_ends_with_all_its_tasks(database_url: str) -> None:
    """What was taken is in the table by then, and no task has to be collected as garbage."""
    settings = Settings(database_url=database_url, broadcast_url="memory://", retention_days=1)
    before = asyncio.all_tasks()
    channel = Channel("project", "widget")
    async with AsyncExitStack() as stack:
        below = await started(stack, settings)
        messages = below.services.messages
        first = await messages.publish(ANN, channel, "one")
        await below.services.policies.set(ANN, channel, {"hold": "UNTIL_APPROVED"})
        held = asyncio.create_task(messages.publish(ANN, channel, "two"))
        source = await messages.subscribe(ANN, channel, after=first.id)
        source.close()
        assert asyncio.all_tasks() - before
        while not held.done():  # noqa: ASYNC110  it is on its way to the writer
            await asyncio.sleep(0)
    assert held.result().held
    assert asyncio.all_tasks() == before


async def test_the_bus_goes_over_what_its_setting_names(database_url: str) -> None:
    settings = Settings(database_url=database_url, broadcast_url="memory://")
    assert isinstance(bus_backend(settings), MemoryBackend)
