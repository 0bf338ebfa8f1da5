"""Equal reads are one: what a thousand resuming clients cost the database."""

import asyncio
from uuid import uuid4

import pytest
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.entry import StoredEntry
from app.domain.message import Draft
from app.storage.database import Database, DatabaseLost
from app.storage.history import MessageHistory
from app.storage.shared_history import SharedHistory
from app.storage.writer import MessageWriter

CHANNEL = Channel("project", "widget")

pytestmark = pytest.mark.anyio


class CountedHistory(MessageHistory):
    """The real history, counting what reaches the database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reads = 0

    async def between(
        self, channel: Channel, after: int, up_to: int, limit: int
    ) -> list[StoredEntry]:
        self.reads += 1
        return await super().between(channel, after, up_to, limit)

    async def sequence_of(self, channel: Channel, cursor: str) -> int | None:
        self.reads += 1
        return await super().sequence_of(channel, cursor)


async def published(database: Database, count: int) -> list[StoredEntry]:
    writer = MessageWriter(database, on_stored=lambda _messages: None)
    drafts = [
        Draft(CHANNEL, str(uuid7()), str(uuid4()), None, b'{"n":%d}' % n) for n in range(count)
    ]
    await asyncio.gather(*map(writer.write, drafts))
    await writer.close()
    # As they are read: jsonb writes its text its own way.
    return await MessageHistory(database).between(CHANNEL, 0, count, count)


async def test_a_thousand_equal_resumes_are_one_read(database: Database) -> None:
    messages = await published(database, 20)
    counted = CountedHistory(database)
    shared = SharedHistory(counted)

    pages = await asyncio.gather(*(shared.between(CHANNEL, 5, 20, 500) for _ in range(1_000)))

    assert counted.reads == 1
    assert all(page == messages[5:] for page in pages)


async def test_a_page_that_does_not_reach_far_enough_is_read_again(database: Database) -> None:
    messages = await published(database, 20)
    counted = CountedHistory(database)
    shared = SharedHistory(counted)

    assert await shared.between(CHANNEL, 0, 10, 500) == messages[:10]
    assert await shared.between(CHANNEL, 0, 20, 500) == messages
    assert await shared.between(CHANNEL, 0, 7, 500) == messages[:7]

    assert counted.reads == 2


async def test_a_full_page_is_read_once_however_far_the_channel_goes_on(
    database: Database,
) -> None:
    # While a thousand clients catch up publishing goes on, and each asks up to a head of
    # its own: 2,000 messages in pages of 500 were read 239 times.
    messages = await published(database, 20)
    counted = CountedHistory(database)
    shared = SharedHistory(counted)

    at_once = await asyncio.gather(
        *(shared.between(CHANNEL, 2, up_to, 5) for up_to in range(7, 14))
    )
    later = await shared.between(CHANNEL, 2, 20, 5)

    assert [*at_once, later] == [messages[2:7]] * 8
    assert counted.reads == 1


async def test_a_page_with_deleted_messages_is_not_taken_for_a_full_one(
    database: Database,
) -> None:
    messages = await published(database, 20)
    await database.fetch("DELETE FROM messages WHERE sequence = 4")
    shared = SharedHistory(MessageHistory(database))

    short, long = await asyncio.gather(
        shared.between(CHANNEL, 0, 5, 5), shared.between(CHANNEL, 0, 20, 5)
    )

    assert short == [*messages[:3], messages[4]]
    assert long == [*messages[:3], *messages[4:6]]


async def test_one_who_gives_up_does_not_take_the_read_from_the_others(database: Database) -> None:
    messages = await published(database, 3)
    shared = SharedHistory(MessageHistory(database))
    first = asyncio.create_task(shared.between(CHANNEL, 0, 3, 500))
    second = asyncio.create_task(shared.between(CHANNEL, 0, 3, 500))
    await asyncio.sleep(0)

    first.cancel()

    assert await second == messages


async def test_a_message_is_found_once_and_an_unknown_one_asked_for_again(
    database: Database,
) -> None:
    messages = await published(database, 1)
    counted = CountedHistory(database)
    shared = SharedHistory(counted)

    assert await shared.sequence_of(CHANNEL, messages[0].id) == 1
    assert await shared.sequence_of(CHANNEL, messages[0].id) == 1
    assert counted.reads == 1

    unknown = str(uuid7())
    assert await shared.sequence_of(CHANNEL, unknown) is None
    assert await shared.sequence_of(CHANNEL, unknown) is None
    assert counted.reads == 3


async def test_a_thousand_who_resume_after_the_same_message_at_once_look_it_up_once(
    database: Database,
) -> None:
    # A restart brings them all back in one instant: what was found was kept, but who asked
    # while it was being found asked the table too. 554 of 1,000 clients did.
    messages = await published(database, 1)
    counted = CountedHistory(database)
    shared = SharedHistory(counted)

    found = await asyncio.gather(
        *(shared.sequence_of(CHANNEL, messages[0].id) for _ in range(1_000)),
    )

    assert counted.reads == 1
    assert set(found) == {1}


async def test_one_who_gives_up_does_not_take_the_look_up_from_the_others(
    database: Database,
) -> None:
    messages = await published(database, 1)
    shared = SharedHistory(MessageHistory(database))
    first = asyncio.create_task(shared.sequence_of(CHANNEL, messages[0].id))
    second = asyncio.create_task(shared.sequence_of(CHANNEL, messages[0].id))
    await asyncio.sleep(0)

    first.cancel()

    assert await second == 1


async def test_a_look_up_that_failed_is_made_again(database: Database) -> None:
    class LostOnce(MessageHistory):
        lost = False

        async def sequence_of(self, channel: Channel, cursor: str) -> int | None:
            if not self.lost:
                self.lost = True
                raise DatabaseLost
            return await super().sequence_of(channel, cursor)

    messages = await published(database, 1)
    shared = SharedHistory(LostOnce(database))

    with pytest.raises(DatabaseLost):
        await shared.sequence_of(CHANNEL, messages[0].id)

    assert await shared.sequence_of(CHANNEL, messages[0].id) == 1


async def test_a_channel_that_is_forgotten_is_read_anew(database: Database) -> None:
    messages = await published(database, 5)
    counted = CountedHistory(database)
    shared = SharedHistory(counted)
    for _ in range(2):
        assert await shared.between(CHANNEL, 0, 5, 500) == messages
        assert await shared.sequence_of(CHANNEL, messages[0].id) == 1
    assert counted.reads == 2
    await database.fetch("DELETE FROM messages")
    shared.forget(CHANNEL)
    assert await shared.between(CHANNEL, 0, 5, 500) == []
    assert await shared.sequence_of(CHANNEL, messages[0].id) is None
    assert shared._bytes == 0
