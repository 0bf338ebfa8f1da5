"""Connection counts in the table: the living are counted, the dead are not."""

import asyncio
from uuid import UUID

import pytest

from app.domain.channel import Channel
from app.storage.database import Database
from app.storage.presence import PresenceStore

pytestmark = pytest.mark.anyio

FIRST, SECOND, THIRD = (str(UUID(int=number)) for number in (1, 2, 3))
ONE, OTHER = Channel("project", "one"), Channel("project", "other")


async def test_each_sees_the_sum_of_the_others(database: Database) -> None:
    first, second, third = (PresenceStore(database, name, 60) for name in (FIRST, SECOND, THIRD))
    await first.write({ONE: 1, OTHER: 5})
    await second.write({ONE: 10})
    assert await third.others([ONE, OTHER]) == {ONE: 11, OTHER: 5}
    assert await first.others([ONE, OTHER]) == {ONE: 10, OTHER: 0}
    await first.write({ONE: 0, OTHER: 6})
    assert await third.others([ONE, OTHER]) == {ONE: 10, OTHER: 6}
    await second.leave()
    assert await third.others([ONE]) == {ONE: 0}
    assert await third.others([]) == {}


async def test_a_silent_process_is_not_counted_and_counted_again_when_it_speaks(
    database: Database,
) -> None:
    silent, living = PresenceStore(database, FIRST, 0.2), PresenceStore(database, SECOND, 60)
    await silent.write({ONE: 3})
    assert await living.others([ONE]) == {ONE: 3}
    async with asyncio.timeout(10):
        while await living.others([ONE]) != {ONE: 0}:  # noqa: ASYNC110  time tells nobody
            await asyncio.sleep(0.02)
    assert await silent.renew() is False, "its rows are still there"
    assert await living.others([ONE]) == {ONE: 3}


async def test_the_dead_are_not_counted_for_as_long_as_the_clock_was_set_back(
    database: Database,
) -> None:
    """They were: their leases ended in the future of the clock as it had been."""
    dead, living = PresenceStore(database, FIRST, 7), PresenceStore(database, SECOND, 7)
    await dead.write({ONE: 3})
    await living.write({ONE: 1})
    await database.fetch("UPDATE processes SET expires_at = expires_at + interval '1 hour'")
    assert await living.others([ONE]) == {ONE: 0}
    # Whoever lives is back with the next heartbeat.
    await living.renew()
    assert await dead.others([ONE]) == {ONE: 1}


async def test_the_dead_are_swept_and_told_so_if_they_live(database: Database) -> None:
    dead, living = PresenceStore(database, FIRST, 60), PresenceStore(database, SECOND, 60)
    await dead.write({ONE: 3})
    await living.write({ONE: 1})
    await database.fetch(
        "UPDATE processes SET expires_at = now() - interval '2 minutes' WHERE process_id = $1",
        FIRST,
    )
    await living.sweep()
    rows = await database.fetch("SELECT process_id::text FROM presence")
    assert [row["process_id"] for row in rows] == [SECOND]
    assert await dead.renew() is True, "it must write its counts again"


async def test_many_processes_writing_the_same_channels_do_not_block_each_other(
    database: Database,
) -> None:
    channels = [Channel("project", f"widget{n}") for n in range(50)]
    stores = [PresenceStore(database, str(UUID(int=n)), 60) for n in range(8)]
    async with asyncio.timeout(30):
        for _ in range(5):
            await asyncio.gather(*(store.write(dict.fromkeys(channels, 2)) for store in stores))
    others = await PresenceStore(database, str(UUID(int=99)), 60).others(channels)
    assert others == dict.fromkeys(channels, 16)
