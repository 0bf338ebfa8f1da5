"""Reading a channel in its own order."""

import pytest
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.message import Draft, Head
from app.storage.database import Database
from app.storage.history import MessageHistory
from app.storage.writer import MessageWriter

pytestmark = pytest.mark.anyio

CHANNEL, EMPTY = Channel("project", "widget"), Channel("project", "empty")


async def filled(database: Database, number: int) -> list[str]:
    writer = MessageWriter(database, lambda _messages: None)
    ids = []
    for each in range(number):
        draft = Draft(CHANNEL, str(uuid7()), "client", "anna", b'{"n":%d}' % each)
        await writer.write(draft)
        ids.append(draft.id)
    return ids


async def test_between_is_after_one_and_up_to_another(database: Database) -> None:
    ids = await filled(database, 10)
    history = MessageHistory(database)
    assert [m.id for m in await history.between(CHANNEL, 0, 10, 100)] == ids
    assert [m.sequence for m in await history.between(CHANNEL, 3, 7, 100)] == [4, 5, 6, 7]
    assert [m.sequence for m in await history.between(CHANNEL, 3, 7, 2)] == [4, 5]
    assert await history.between(CHANNEL, 10, 20, 100) == []
    assert await history.between(EMPTY, 0, 100, 100) == []


async def test_heads_are_the_newest_sequences(database: Database) -> None:
    await filled(database, 3)
    (newest,) = await MessageHistory(database).between(CHANNEL, 2, 3, 1)
    assert await MessageHistory(database).heads([CHANNEL, EMPTY]) == {
        CHANNEL: Head(3, newest.created),
        EMPTY: Head(0, 0),
    }
    assert await MessageHistory(database).heads([]) == {}


async def test_by_id_finds_a_message_of_its_own_channel_only(database: Database) -> None:
    first, _ = await filled(database, 2)
    history = MessageHistory(database)
    found = await history.by_id(CHANNEL, first)
    assert found is not None
    assert (found.id, found.sequence, found.username, found.data) == (first, 1, "anna", {"n": 0})
    assert await history.by_id(EMPTY, first) is None
    for nonsense in ("", "nonsense", "\0", "1" * 5_000, str(uuid7())):
        assert await history.by_id(CHANNEL, nonsense) is None
