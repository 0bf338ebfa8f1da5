"""Held messages: approved in one order, none twice; rejected; replaced; withdrawn."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from app.domain.channel import Channel
from app.domain.entry import Retraction
from app.domain.message import Message
from app.embedded.postgres import EmbeddedPostgres
from app.storage.database import Database, DatabaseLost
from tests.conftest import cloned
from tests.storage.waiting_room import WaitingRoom

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def shared_database_url(postgres: EmbeddedPostgres, template_database: str) -> Iterator[str]:
    """Each room has a channel of its own in it."""
    yield from cloned(postgres, template_database)


@pytest.fixture
async def database(shared_database_url: str) -> AsyncIterator[Database]:
    """The pool of one test."""
    opened = await Database.connect(shared_database_url)
    yield opened
    await opened.close()


@pytest.fixture
def room(database: Database) -> WaitingRoom:
    return WaitingRoom(database)


async def test_what_is_approved_is_published_in_the_order_of_approval(room: WaitingRoom) -> None:
    one, two, three = [await room.hold(b"%d" % n) for n in range(3)]
    assert await room.approve(three, one) == 2
    first, second = await room.stored()
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert (first.id, first.data_json, first.sequence) == (three.id, b"2", 1)
    assert (second.id, second.data_json, second.sequence) == (one.id, b"0", 2)
    assert first.created >= three.created
    assert not first.held
    assert (first.client_id, first.username, first.publisher) == (
        three.client_id,
        three.username,
        three.publisher,
    )
    assert room.told == [first, second]
    assert await room.waiting() == [two]


async def test_what_does_not_wait_is_not_counted(room: WaitingRoom) -> None:
    one, two = await room.hold(), await room.hold()
    assert await room.approve(one) == 1
    assert await room.approve(one, two) == 1
    assert await room.approve(one, two) == 0
    assert await room.held.approve(Channel("no", "one"), [one.id]) == 0
    assert len(await room.stored()) == 2


async def test_a_thousand_approved_by_two_at_once_have_one_order(database: Database) -> None:
    one = WaitingRoom(database)
    other = WaitingRoom(database, one.channel)
    messages = await asyncio.gather(*(one.hold(b"%d" % n) for n in range(1_000)))
    counts = await asyncio.gather(
        one.approve(*messages), other.approve(*reversed(messages)), one.publish()
    )
    assert sorted(counts[:2]) == [0, 1_000]
    stored = await one.stored()
    assert [entry.sequence for entry in stored] == [*range(1, 1_002)]
    assert {entry.id for entry in stored} >= {message.id for message in messages}
    ids = [entry.id for entry in stored if entry.id != counts[2].message.id]  # type: ignore[union-attr]
    asked = [message.id for message in messages]
    assert ids in (asked, asked[::-1])


async def test_parts_approved_at_once_by_many_come_once(database: Database) -> None:
    channel = Channel("project", uuid4().hex)
    rooms = [WaitingRoom(database, channel) for _ in range(4)]
    messages = await asyncio.gather(*(rooms[0].hold() for _ in range(40)))
    counts = await asyncio.gather(
        *(room.approve(*messages[n : n + 20]) for n, room in enumerate(rooms * 5)),
        *(room.reject(*messages[n + 15 : n + 20]) for n, room in enumerate(rooms)),
    )
    left = len(await rooms[0].waiting())
    assert sum(counts) + left == 40
    stored = [entry.id for entry in await rooms[0].stored()]
    assert len(stored) == len(set(stored)) == sum(counts[:20])


async def test_an_approved_replacement_retracts_the_earlier_one_right_before(
    room: WaitingRoom,
) -> None:
    earlier = (await room.publish(b'"old"', key="k")).message
    held = await room.hold(b'"new"', key="k", replaces=True)
    assert await room.stored() == [earlier]  # it stands until then
    room.told.clear()
    assert await room.approve(held) == 1
    retraction, message = await room.stored()
    assert isinstance(retraction, Retraction)
    assert isinstance(message, Message)
    assert (retraction.sequence, retraction.ids, message.sequence) == (2, (earlier.id,), 3)  # type: ignore[union-attr]
    assert message.data_json == b'"new"'
    assert room.told[1] == message
    assert isinstance(room.told[0], Retraction)
    assert room.told[0].removed == (earlier,)
    assert (room.told[0].id, room.told[0].created) == (retraction.id, retraction.created)


async def test_one_whose_key_was_used_or_spent_meanwhile_is_dropped(room: WaitingRoom) -> None:
    spent, used, fine = [await room.hold(key=key) for key in ("spent", "used", "fine")]
    published = (await room.publish(key="spent")).message
    assert published is not None
    await room.moderator_retracts(published.id)
    await room.publish(b'"first"', key="used")
    assert await room.approve(spent, used, fine) == 1
    assert await room.waiting() == []
    assert [entry.id for entry in await room.stored()][-1] == fine.id


async def test_what_is_rejected_is_gone_and_its_key_is_free(room: WaitingRoom) -> None:
    one, two = await room.hold(b'"one"', key="k"), await room.hold()
    assert await room.reject(one) == 1
    assert await room.reject(one) == 0
    assert await room.approve(one) == 0
    assert await room.waiting() == [two]
    assert (await room.hold(b'"better"', key="k")).data_json == b'"better"'


async def test_only_the_publisher_s_own_are_withdrawn(room: WaitingRoom) -> None:
    mine, hers, claimed = [
        await room.hold(publisher=publisher) for publisher in ("sub:ann", "sub:eve", None)
    ]
    ids = [message.id for message in (mine, hers, claimed)]
    assert await room.held.withdraw(room.channel, ids, "sub:ann") == 1
    assert await room.waiting() == [hers, claimed]


async def test_reading_goes_on_after_a_number(room: WaitingRoom) -> None:
    messages = [await room.hold() for _ in range(5)]
    await room.approve(messages[1])
    assert [number for number, _ in await room.held.after(room.channel, 0, 2)] == [1, 3]
    assert await room.held.after(room.channel, 3, 10) == [(4, messages[3]), (5, messages[4])]


class _LosesAnswers:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.lose = 0

    async def fetch(self, *parameters: Any, **options: Any) -> list[asyncpg.Record]:
        rows = await self._database.fetch(*parameters, **options)
        if self.lose:
            self.lose -= 1
            raise DatabaseLost
        return rows


async def test_an_approval_whose_answer_is_lost_is_found_and_told(database: Database) -> None:
    losing: Any = _LosesAnswers(database)
    room = WaitingRoom(losing)
    messages = [await room.hold() for _ in range(3)]
    losing.lose = 2
    assert await room.approve(*messages) == 3
    assert [entry.id for entry in room.told] == [message.id for message in messages]
    assert await room.stored() == room.told
    losing.lose = 3
    with pytest.raises(DatabaseLost):
        await room.approve(*messages)
