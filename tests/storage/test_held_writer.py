"""Holding: the order of arrival, keys, the bound, and lost answers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from app.domain.channel import Channel
from app.domain.message import Message
from app.embedded.postgres import EmbeddedPostgres
from app.errors import Rejected, Unavailable
from app.storage.database import Database, DatabaseLost
from tests.conftest import cloned
from tests.storage.waiting_room import ANN, WaitingRoom, draft

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


async def test_a_held_message_has_no_place(room: WaitingRoom) -> None:
    held = await room.hold(b'{"a": 1.50}', key="k")
    assert held.held
    assert held.persistent
    assert held.sequence is None
    assert (held.username, held.publisher, held.verified) == ("Ann", ANN, True)
    assert await room.waiting() == [held]
    assert await room.stored() == []
    assert (await room.history.heads([room.channel]))[room.channel].sequence == 0
    assert room.arrived_in == [room.channel]
    assert room.told == []


async def test_many_at_once_are_numbered_in_one_order(room: WaitingRoom) -> None:
    elsewhere = Channel("project", uuid4().hex)
    messages = await asyncio.gather(
        *(room.hold(b"%d" % n, channel=elsewhere if n % 2 else room.channel) for n in range(100))
    )
    arrivals = await room.held.after(room.channel, 0, 1_000)
    assert [number for number, _ in arrivals] == [*range(1, 51)]
    assert [message for _, message in arrivals] == [*messages[::2]]
    assert await room.waiting(elsewhere) == [*messages[1::2]]
    assert await room.held.newest([room.channel, elsewhere, Channel("no", "one")]) == {
        room.channel: 50,
        elsewhere: 50,
        Channel("no", "one"): 0,
    }
    # A hundred messages were not a hundred commits.
    assert len(room.arrived_in) < 20


async def test_the_same_key_again_returns_what_waits(room: WaitingRoom) -> None:
    first = await room.hold(b'{"big": 123456789012345678901.50}', key="k")
    assert await room.hold(b'"another"', key="k") == first
    assert await room.waiting() == [first]
    # The key is the publisher's, in the channel.
    assert await room.hold(key="k", publisher="sub:bob") != first
    assert await room.hold(key="k", publisher=None) != first
    assert await room.hold(key="k", channel=Channel("project", uuid4().hex)) != first


async def test_the_same_key_of_a_published_message_returns_that(room: WaitingRoom) -> None:
    published = (await room.publish(b'"first"', key="k")).message
    again = await room.hold(b'"again"', key="k")
    assert again == published
    assert not again.held
    assert await room.waiting() == []


async def test_replacing_takes_the_place_of_what_waits_and_arrives_anew(room: WaitingRoom) -> None:
    first, other = await room.hold(b'"first"', key="k", replaces=True), await room.hold()
    second = await room.hold(b'"second"', key="k", replaces=True)
    # Whoever approves the first, which they have seen, does not approve the second.
    assert second.id != first.id
    assert await room.waiting() == [other, second]
    assert [number for number, _ in await room.held.after(room.channel, 0, 10)] == [2, 3]


async def test_a_key_that_a_moderator_has_spent_is_refused(room: WaitingRoom) -> None:
    published = (await room.publish(key="k")).message
    assert published is not None
    await room.moderator_retracts(published.id)
    for replaces in (False, True):
        with pytest.raises(Rejected) as refused:
            await room.hold(key="k", replaces=replaces)
        assert refused.value.message == (
            "the message with the id 'k' was retracted by a moderator; the id cannot be used again"
        )
    assert await room.waiting() == []


async def test_more_than_the_bound_are_refused_and_nothing_is_lost(database: Database) -> None:
    room = WaitingRoom(database, most=3)
    one, two, three = [await room.hold(key=str(n), replaces=True) for n in range(3)]
    with pytest.raises(Unavailable) as refused:
        await room.hold()
    assert refused.value.message == (
        "3 messages of the channel wait for approval, which is the limit; retry later"
    )
    # What is there already is found, and what replaces one takes its room.
    assert await room.hold(key="1") == two
    four = await room.hold(key="1", replaces=True)
    assert await room.waiting() == [one, three, four]
    # Other channels have room of their own.
    await room.hold(channel=Channel("project", uuid4().hex))
    await room.reject(three)
    five = await room.hold()
    assert await room.waiting() == [one, four, five]


async def test_of_a_batch_as_many_are_held_as_there_is_room_for(database: Database) -> None:
    room = WaitingRoom(database, most=10)
    await room.hold()
    outcomes = await asyncio.gather(*(room.hold() for _ in range(20)), return_exceptions=True)
    held = [one for one in outcomes if isinstance(one, Message)]
    assert len(held) == 9
    assert outcomes[:9] == held  # whoever came first
    assert len(await room.waiting()) == 10
    # A lower bound takes nothing away.
    lower = WaitingRoom(database, room.channel, most=2)
    with pytest.raises(Unavailable):
        await lower.hold()
    assert len(await lower.waiting()) == 10


class _LosesAnswers:
    def __init__(self, database: Database, lost: int) -> None:
        self._database = database
        self._lost = lost

    async def fetch(self, *parameters: Any, **options: Any) -> list[asyncpg.Record]:
        rows = await self._database.fetch(*parameters, **options)
        if self._lost:
            self._lost -= 1
            raise DatabaseLost
        return rows


async def test_an_answer_that_is_lost_holds_nothing_twice(database: Database) -> None:
    losing: Any = _LosesAnswers(database, 2)
    room = WaitingRoom(losing)
    held = await room.hold(b'"once"')
    keyed = await room.hold(key="k", replaces=True)
    assert held.held
    assert await room.waiting() == [held, keyed]


async def test_the_numbers_go_on_after_the_channel_s_row_was_deleted(
    room: WaitingRoom, database: Database
) -> None:
    first = await room.hold()
    await database.fetch("DELETE FROM channels WHERE channel = $1", room.channel.key)
    second = await room.hold()
    assert await room.waiting() == [first, second]


async def test_one_that_cannot_be_stored_fails_alone(room: WaitingRoom) -> None:
    bad = draft(b"\xff")  # no JSON: a defect, which Postgres refuses
    outcomes = await asyncio.gather(
        room.hold(), room.holding.write(bad), room.hold(), return_exceptions=True
    )
    assert isinstance(outcomes[1], asyncpg.PostgresError)
    assert await room.waiting() == [outcomes[0], outcomes[2]]
