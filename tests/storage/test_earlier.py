"""What was stored before: under a key, and around an id that no message has."""

from dataclasses import replace

import pytest
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.message import Draft, Message
from app.storage.database import Database
from app.storage.earlier import Earlier, EarlierMessages
from app.storage.held_writer import HeldWriter
from app.storage.retractions import MessageRetractions
from app.storage.writer import MessageWriter

pytestmark = pytest.mark.anyio

CHANNEL = Channel("p", "w")


def draft(key: str | None = None, publisher: str | None = "sub:u1") -> Draft:
    return Draft(CHANNEL, str(uuid7()), "client", None, b"1", key, publisher)


async def stored(database: Database, *drafts: Draft) -> list[Message]:
    writer = MessageWriter(database, lambda _: None)
    messages = [(await writer.write(one)).message for one in drafts]
    await writer.close()
    return [message for message in messages if message is not None]


@pytest.mark.parametrize("publisher", ["sub:u1", None])
async def test_a_key_finds_the_publishers_own_message(
    database: Database, publisher: str | None
) -> None:
    earlier = EarlierMessages(database)
    first = draft("key", publisher)
    nothing = Earlier(None, spent=False)
    assert await earlier.of_key(first) == nothing
    (message,) = await stored(database, first)
    assert await earlier.of_key(draft("key", publisher)) == Earlier(message, spent=False)
    assert await earlier.of_key(draft("other", publisher)) == nothing
    assert await earlier.of_key(draft("key", "sub:u2")) == nothing
    assert await earlier.of_key(replace(first, channel=Channel("p", "x"))) == nothing


async def test_a_key_finds_what_waits_for_a_moderator(database: Database) -> None:
    """Whoever is shadowed meanwhile would else be given a second message, and notice."""
    earlier, writer = EarlierMessages(database), HeldWriter(database, lambda _: None)
    waiting = await writer.write(draft("key"))
    await writer.close()
    assert waiting.held
    assert await earlier.of_key(draft("key")) == Earlier(waiting, spent=False)
    assert await earlier.of_key(draft("key", "sub:u2")) == Earlier(None, spent=False)


async def test_a_key_is_spent_by_a_moderators_retraction(database: Database) -> None:
    earlier, retractions = EarlierMessages(database), MessageRetractions(database, lambda _: None)
    own, others = await stored(database, draft("own"), draft("others"))
    for message, retractor, moderates in ((own, "sub:u1", False), (others, "sub:mo", True)):
        await retractions.retract(
            CHANNEL, [message.id], retractor=retractor, any_publisher=moderates, reason=None
        )
    assert await earlier.of_key(draft("own")) == Earlier(None, spent=False)
    assert await earlier.of_key(draft("others")) == Earlier(None, spent=True)


async def test_the_place_of_an_id_is_before_what_is_newer(database: Database) -> None:
    earlier = EarlierMessages(database)
    oldest, between, newest = str(uuid7()), [str(uuid7()) for _ in range(3)], None
    assert await earlier.place_of(CHANNEL, oldest) == 0
    await stored(database, *(replace(draft(), id=one) for one in (between[0], between[2])))
    newest = str(uuid7())
    places = [await earlier.place_of(CHANNEL, one) for one in (oldest, between[1], newest)]
    assert places == [0, 1, 2]
    # Another process committed one first that was made later.
    await stored(database, replace(draft(), id=str(uuid7())), replace(draft(), id=oldest))
    assert await earlier.place_of(CHANNEL, between[1]) == 1
