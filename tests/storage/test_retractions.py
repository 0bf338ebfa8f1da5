"""Retractions and replacements in the table: one place each, and nothing left of the data."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.entry import Retraction, StoredEntry
from app.domain.message import Draft, Message
from app.storage.database import Database, DatabaseLost
from app.storage.history import MessageHistory
from app.storage.retractions import ForeignMessageError, MessageRetractions
from app.storage.writer import MessageWriter, Written

pytestmark = pytest.mark.anyio

CHANNEL = Channel("project", "widget")
ANN, BOB = "sub:ann", "sub:bob"


class Room:
    """A channel that is written to, and what its process is told of."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.told: list[StoredEntry] = []
        self.writer = MessageWriter(database, self.tell)
        self.history = MessageHistory(database)
        self.retractions = MessageRetractions(database, self.tell)

    def tell(self, entries: Sequence[StoredEntry]) -> None:
        self.told.extend(entries)

    async def publish(
        self,
        data: bytes = b"1",
        *,
        key: str | None = None,
        publisher: str | None = ANN,
        replaces: bool = False,
    ) -> Written:
        retraction_id = str(uuid7()) if replaces else None
        draft = Draft(CHANNEL, str(uuid7()), "client", "Ann", data, key, publisher, retraction_id)
        return await self.writer.write(draft)

    async def message(self, data: bytes = b"1", **options: Any) -> Message:
        written = await self.publish(data, **options)
        assert written.message is not None
        return written.message

    async def retract(self, *ids: str, by: str | None = ANN, moderates: bool = False) -> int:
        return await self.retractions.retract(
            CHANNEL, ids, retractor=by, any_publisher=moderates, reason="why"
        )

    async def stored(self) -> list[StoredEntry]:
        return await self.history.between(CHANNEL, 0, 1_000, 1_000)

    async def counted(self) -> tuple[int, int, int]:
        head = (await self.history.heads([CHANNEL]))[CHANNEL]
        return head.sequence, head.removed, head.retracted


@pytest.fixture
def room(database: Database) -> Room:
    return Room(database)


async def test_a_retraction_has_a_place_and_the_message_is_gone(room: Room) -> None:
    one, two = await room.message(b'"secret"'), await room.message()
    assert await room.retract(one.id) == 1
    left, retraction = await room.stored()
    assert left == two
    assert isinstance(retraction, Retraction)
    assert (retraction.sequence, retraction.ids, retraction.reason) == (3, (one.id,), "why")
    # Whoever listens is told what was removed; nobody else ever sees it.
    assert room.told[-1] == Retraction(
        CHANNEL, 3, retraction.id, retraction.created, (one.id,), "why", (one,)
    )
    assert await room.counted() == (3, 2, 2)
    # Both are cursors.
    assert await room.history.sequence_of(CHANNEL, one.id) == 1
    assert await room.history.sequence_of(CHANNEL, retraction.id) == 3
    for table in ("messages", "retractions", "retracted_messages"):
        rows = await room.database.fetch(f"SELECT t::text AS text FROM {table} AS t")
        assert not [row for row in rows if "secret" in row["text"]]


async def test_what_is_not_there_is_passed_over(room: Room) -> None:
    one = await room.message()
    assert await room.retract(str(uuid7())) == 0
    assert await room.retract(one.id, str(uuid7())) == 1
    assert await room.retract(one.id) == 0
    assert await room.counted() == (2, 2, 2)


async def test_nothing_is_done_where_one_is_somebody_elses(room: Room) -> None:
    mine, other = await room.message(), await room.message(publisher=BOB)
    claimed = await room.message(publisher=None)
    for foreign in (other, claimed):
        with pytest.raises(ForeignMessageError) as refused:
            await room.retract(mine.id, foreign.id)
        assert refused.value.message_id == foreign.id
    assert await room.counted() == (3, 0, 0)
    assert await room.retract(mine.id, other.id, claimed.id, moderates=True) == 3


async def test_a_replacement_retracts_and_stores_in_one_transaction(room: Room) -> None:
    first = await room.message(b'"yes"', key="vote", replaces=True)
    written = await room.publish(b'"no"', key="vote", replaces=True)
    assert written.message is not None
    assert written.retraction is not None
    assert (first.sequence, written.retraction.sequence, written.message.sequence) == (1, 2, 3)
    assert written.retraction.removed == (first,)
    assert room.told == [first, written.retraction, written.message]
    assert [one.id for one in await room.stored()] == [written.retraction.id, written.message.id]
    assert await room.counted() == (3, 2, 2)
    # Another publisher's key is another key.
    await room.message(b'"yes"', key="vote", publisher=BOB, replaces=True)
    assert len(await room.stored()) == 3


async def test_many_replace_at_once_and_each_has_one(room: Room) -> None:
    votes = [
        room.publish(b"%d" % n, key="vote", publisher=f"sub:{n % 10}", replaces=True)
        for n in range(200)
    ]
    await asyncio.gather(*votes)
    stored = await room.stored()
    messages = [one for one in stored if isinstance(one, Message)]
    assert sorted(one.publisher or "" for one in messages) == sorted(f"sub:{n}" for n in range(10))
    # The last of each: the order of a publisher's own votes is kept.
    assert sorted(int(one.data_json) for one in messages) == list(range(190, 200))
    sequence, removed, retracted = await room.counted()
    assert (sequence, removed, retracted) == (390, 380, 380)
    assert [one.sequence for one in room.told] == list(range(1, 391))


async def test_a_key_that_a_moderator_has_spent_stays_spent(room: Room) -> None:
    rude = await room.message(key="vote")
    await room.retract(rude.id, by=BOB, moderates=True)
    for replaces in (True, False):
        written = await room.publish(key="vote", replaces=replaces)
        assert (written.message, written.first_id) == (None, None)
    assert await room.counted() == (2, 2, 2)
    # So is the key of a claimed client id, whether or not the moderator's token has a subject.
    for moderator in (BOB, None):
        key = f"of whoever {moderator} retracts"
        claimed = await room.message(key=key, publisher=None)
        await room.retract(claimed.id, by=moderator, moderates=True)
        assert (await room.publish(key=key, publisher=None)).first_id is None
    # What one takes back oneself may be said again.
    own = await room.message(key="other")
    await room.retract(own.id)
    await room.message(key="other")


class LostAnswers:
    """A database whose first answers are lost after the statement was carried out."""

    def __init__(self, database: Database, lost: int) -> None:
        self._database = database
        self.lost = lost

    async def fetch(self, *arguments: Any, **options: Any) -> list[asyncpg.Record]:
        rows = await self._database.fetch(*arguments, **options)
        if self.lost:
            self.lost -= 1
            raise DatabaseLost
        return rows


async def test_a_lost_answer_is_asked_for_again(room: Room) -> None:
    one = await room.message()
    room.retractions = MessageRetractions(LostAnswers(room.database, 1), room.tell)  # type: ignore[arg-type]
    assert await room.retract(one.id) == 1
    assert await room.counted() == (2, 2, 2)
    # It is told of at once all the same; what was removed is not at hand any more.
    (retraction,) = room.told[1:]
    assert [retraction] == await room.stored()
    assert isinstance(retraction, Retraction)
    assert (retraction.ids, retraction.removed) == ((one.id,), None)


async def test_a_replacement_whose_answer_was_lost_happened_once(room: Room) -> None:
    await room.message(key="vote", replaces=True)
    room.writer = MessageWriter(LostAnswers(room.database, 1), room.tell)  # type: ignore[arg-type]
    again = await room.message(b"2", key="vote", replaces=True)
    assert again.sequence == 3
    assert await room.counted() == (3, 2, 2)
    assert [one.sequence for one in await room.stored()] == [2, 3]


async def test_what_was_retracted_before_its_answer_came_is_told_to_nobody(room: Room) -> None:
    """The connection is lost after the commit; a moderator is quicker than the next try."""

    class Retracted(LostAnswers):
        async def fetch(self, *arguments: Any, **options: Any) -> list[asyncpg.Record]:
            try:
                return await super().fetch(*arguments, **options)
            except DatabaseLost:
                (message,) = await room.stored()
                await room.retract(message.id, by=BOB, moderates=True)
                raise

    writer = MessageWriter(Retracted(room.database, 1), room.tell)  # type: ignore[arg-type]
    draft = Draft(CHANNEL, str(uuid7()), "client", "Ann", b"1", None, ANN)
    written = await writer.write(draft)
    assert written.first_id == draft.id
    assert [type(one) for one in room.told] == [Retraction]


async def test_where_the_last_messages_begin_takes_no_notice_of_retractions(room: Room) -> None:
    messages = [await room.message() for _ in range(5)]
    await room.retract(messages[3].id)
    assert await room.history.before_last(CHANNEL, 6, 2) == 2
    assert await room.history.before_last(CHANNEL, 6, 9) == 0
    newest = await room.history.newest_id(CHANNEL, 6)
    assert newest == (await room.stored())[-1].id
    assert await room.history.newest_id(CHANNEL, 4) == messages[2].id
