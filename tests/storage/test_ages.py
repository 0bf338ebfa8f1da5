"""The oldest message of each channel is found without reading the others."""

import time

import pytest

from app.domain.channel import Channel
from app.storage.ages import Age, Ages
from app.storage.database import Database
from tests.storage.test_deletion import fill

pytestmark = pytest.mark.anyio

A, B, C = (Channel("project", name) for name in "abc")


async def test_channels_come_by_pages_with_their_oldest_message(database: Database) -> None:
    for channel in (C, A, B):
        await fill(database, 3, channel)
    await database.fetch("DELETE FROM messages WHERE channel = $1", B.key)
    await database.fetch("DELETE FROM messages WHERE channel = $1 AND sequence = 1", C.key)
    ages = Ages(database)

    async def known(after: str = "", limit: int = 10, among: list[Channel] | None = None) -> object:
        return [(age.channel, age.oldest) for age in await ages.page(after, limit, among)]

    assert await known() == [(A, 1), (B, None), (C, 2)]
    assert await known(limit=2) == [(A, 1), (B, None)]
    assert await known(after=B.key) == [(C, 2)]
    assert await known(among=[C, A, Channel("project", "nowhere")]) == [(A, 1), (C, 2)]
    for channel, created in ((B, 7), (C, 1), (A, 9)):
        await database.fetch(
            "INSERT INTO retractions VALUES ($1, 4, gen_random_uuid(), $2, '{}')",
            *(channel.key, created),
        )
    assert await known() == [(A, 1), (B, 7), (C, 1)], "retractions are stored too"
    await database.fetch(
        "INSERT INTO held_messages (channel, id, arrival, client_id, created, data) "
        "VALUES ($1, gen_random_uuid(), 5, 'client', 6, '1')",
        B.key,
    )
    assert await known() == [(A, 1), (B, 6), (C, 1)], "and so is what waits"
    (age,) = await ages.page("", 10, [A])
    assert age == Age(A, 1, age.now)
    assert abs(age.now / 1000 - time.time()) < 60
