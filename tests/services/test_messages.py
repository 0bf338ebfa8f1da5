"""Publishing, searching and subscribing, through a real database and a real hub."""

import dataclasses
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.json_value import decode_json
from app.domain.message import Message
from app.domain.query import parse_query
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import BadUserInput, Forbidden, PayloadTooLarge, Unauthenticated, UnknownCursor
from app.services.live.messages import MessageSource
from app.services.messages import MessageService
from app.storage.database import Database
from app.storage.history import MessageHistory
from app.storage.retractions import MessageRetractions
from app.storage.search import MessageSearch
from app.storage.shared_history import SharedHistory
from app.storage.writer import MessageWriter
from tests.services.live.members import Recorded

pytestmark = pytest.mark.anyio

CHANNEL, OTHER = Channel("project", "widget"), Channel("project", "other")
ANNA = Viewer("Anna", DEFAULT_PERMISSIONS, subject="u1")
ANYBODY = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True)
SIGNED = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True, client_id="signed-1")


@pytest.fixture
async def messages(database: Database) -> AsyncIterator[MessageService]:
    """The service of one process, which replays at most 3 messages."""
    history = SharedHistory(MessageHistory(database))
    hub = Hub(Bus(MemoryBackend(), "this process"), history)
    await hub.start()
    writer = MessageWriter(database, hub.publish_stored)
    try:
        yield MessageService(
            hub=hub,
            writer=writer,
            history=history,
            retractions=MessageRetractions(database, hub.publish_stored),
            search=MessageSearch(database),
            max_data_bytes=100,
            replay_max_messages=3,
        )
    finally:
        await writer.close()
        await hub.stop()


async def stored(service: MessageService, channel: Channel = CHANNEL) -> list[Message]:
    """Return the channel's messages as a search finds them."""
    search = service.search(ANYBODY, channel)
    return await search.messages(channel, parse_query({}))


async def heard(source: MessageSource, number: int) -> list[Any]:
    """Return the data of the next messages, and leave."""
    member = Recorded()
    leave = await source.begin("all", lambda message: message.data_json, member)
    try:
        await member.has_so_many(number)
        return [decode_json(payload) for payload in member.payloads[:number]]
    finally:
        leave()


async def test_what_was_published_is_found_as_it_was_returned(messages: MessageService) -> None:
    data = {"score": Decimal("1.50"), "tags": ["é", None, True]}
    published = await messages.publish(ANNA, CHANNEL, data, client_id="page 1")
    assert (published.client_id, published.username, published.data) == ("page 1", "Anna", data)
    assert (published.sequence, UUID(published.id).version) == (1, 7)
    (found,) = await stored(messages)
    # Postgres writes the JSON text its own way; the values are the same.
    assert found.data == data
    assert dataclasses.replace(found, data_json=published.data_json) == published
    assert await stored(messages, OTHER) == []


async def test_a_subscriber_of_the_channel_hears_it_and_one_of_another_does_not(
    messages: MessageService,
) -> None:
    here = await messages.subscribe(ANYBODY, CHANNEL)
    there = await messages.subscribe(ANYBODY, OTHER)
    await messages.publish(ANYBODY, CHANNEL, 1)
    await messages.publish(ANYBODY, OTHER, 2)
    assert await heard(here, 1) == [1]
    assert await heard(there, 1) == [2]


async def test_a_message_that_is_not_stored_is_heard_and_not_found(
    messages: MessageService,
) -> None:
    stream = await messages.subscribe(ANYBODY, CHANNEL)
    published = await messages.publish(ANYBODY, CHANNEL, "fleeting", persistent=False)
    assert not published.persistent
    assert await heard(stream, 1) == ["fleeting"]
    assert await stored(messages) == []


@pytest.mark.parametrize("persistent", [True, False])
async def test_a_key_sent_again_by_the_same_client_returns_the_first_message(
    messages: MessageService, persistent: bool
) -> None:
    async def publish(data: object, client_id: str, channel: Channel = CHANNEL) -> Message:
        return await messages.publish(
            ANYBODY,
            channel,
            data,
            client_id=client_id,
            persistent=persistent,
            idempotency_key="vote",
        )

    stream = await messages.subscribe(ANYBODY, CHANNEL)
    first = await publish("yes", "one")
    assert (await publish("no", "one")).id == first.id
    assert (await publish("no", "two")).id != first.id
    assert (await publish("no", "one", OTHER)).id != first.id
    assert await heard(stream, 2) == ["yes", "no"]


async def test_a_retry_without_a_client_id_finds_the_first_message(
    messages: MessageService,
) -> None:
    first = await messages.publish(ANNA, CHANNEL, 1, idempotency_key="key")
    again = await messages.publish(ANNA, CHANNEL, 1, idempotency_key="key")
    assert again == first
    without = [await messages.publish(ANNA, CHANNEL, 1) for _ in range(2)]
    assert len({first.client_id, *(one.client_id for one in without)}) == 3


async def test_whoever_may_not_is_refused_before_anything_happens(
    messages: MessageService,
) -> None:
    reader = Viewer("r", frozenset({Permission.SUBSCRIBE}))
    with pytest.raises(Forbidden, match="publish"):
        await messages.publish(reader, CHANNEL, 1)
    with pytest.raises(Forbidden, match="search"):
        messages.search(reader, CHANNEL)
    with pytest.raises(Unauthenticated):
        await messages.subscribe(Viewer(None, frozenset(), anonymous=True), CHANNEL)
    elsewhere = Viewer("e", DEFAULT_PERMISSIONS, frozenset({"another"}))
    with pytest.raises(Forbidden, match="project"):
        await messages.publish(elsewhere, CHANNEL, 1)
    assert await stored(messages) == []


async def test_what_is_out_of_bounds_is_refused_and_not_stored(messages: MessageService) -> None:
    with pytest.raises(PayloadTooLarge):
        await messages.publish(ANYBODY, CHANNEL, "x" * 99)
    with pytest.raises(BadUserInput, match="clientId"):
        await messages.publish(ANYBODY, CHANNEL, 1, client_id="")
    with pytest.raises(BadUserInput, match="id"):
        await messages.publish(ANYBODY, CHANNEL, 1, idempotency_key="\n")
    for last in (-1, 4):
        with pytest.raises(BadUserInput, match=f"last is {last}"):
            await messages.subscribe(ANYBODY, CHANNEL, last=last)
    assert await stored(messages) == []


async def test_a_subscriber_begins_where_it_asks_to(messages: MessageService) -> None:
    first, *_ = [await messages.publish(ANYBODY, CHANNEL, number) for number in range(5)]
    assert await heard(await messages.subscribe(ANYBODY, CHANNEL, after=first.id), 4) == [
        1,
        2,
        3,
        4,
    ]
    assert await heard(await messages.subscribe(ANYBODY, CHANNEL, after_sequence=0), 1) == [0]
    assert await heard(await messages.subscribe(ANYBODY, CHANNEL, last=2), 2) == [3, 4]
    both = await messages.subscribe(ANYBODY, CHANNEL, after=first.id, last=3)
    assert await heard(both, 3) == [2, 3, 4]
    now = await messages.subscribe(ANYBODY, CHANNEL, last=0)
    await messages.publish(ANYBODY, CHANNEL, "new")
    assert await heard(now, 1) == ["new"]


async def test_a_place_that_the_channel_does_not_have_is_refused(
    messages: MessageService,
) -> None:
    elsewhere = await messages.publish(ANYBODY, OTHER, 1)
    ended: list[int] = []
    for after in (elsewhere.id, "nonsense"):
        with pytest.raises(UnknownCursor):
            await messages.subscribe(
                ANYBODY, CHANNEL, after=after, on_closed=lambda: ended.append(1)
            )
    with pytest.raises(UnknownCursor, match="ends at 0"):
        await messages.subscribe(ANYBODY, CHANNEL, after_sequence=1)
    assert ended == [1, 1], "what was begun is ended"


async def test_who_asks_is_a_subject_or_a_connection_or_not_known(
    messages: MessageService,
) -> None:
    def asker(viewer: Viewer, connection: object = None) -> object:
        request = cast("Any", messages.search(viewer, CHANNEL, connection))._request
        assert request is not None
        return request.asker

    socket = object()
    assert asker(ANNA) == asker(ANNA, socket) == "sub:u1"
    assert asker(ANYBODY, socket) is socket
    assert asker(ANYBODY) is None
    # Whoever likes gets a thousand signed ids: each with a line of its own would push out others.
    assert asker(SIGNED, socket) is socket
    assert asker(SIGNED) is None


async def test_a_signed_client_publishes_by_its_id_or_by_another(messages: MessageService) -> None:
    assert (await messages.publish(SIGNED, CHANNEL, 1)).client_id == "signed-1"
    assert (await messages.publish(SIGNED, CHANNEL, 1, client_id="page")).client_id == "page"
    with pytest.raises(Forbidden, match="clientId is 'signed-1'"):
        await messages.publish(ANNA, CHANNEL, 1, client_id="signed-1")
    with pytest.raises(Forbidden, match="clientId is 'signed-2'"):
        await messages.publish(SIGNED, CHANNEL, 1, client_id="signed-2", persistent=False)
    assert len(await stored(messages)) == 2


@pytest.mark.parametrize("persistent", [True, False])
async def test_a_key_is_the_signed_clients_whatever_id_it_or_another_claims(
    messages: MessageService, persistent: bool
) -> None:
    async def vote(viewer: Viewer, client_id: str | None = None) -> str:
        message = await messages.publish(
            viewer,
            CHANNEL,
            1,
            client_id=client_id,
            persistent=persistent,
            idempotency_key="vote",
        )
        return message.id

    claimed = await vote(ANYBODY, "page")
    first = await vote(SIGNED, "page")
    assert await vote(SIGNED) == await vote(SIGNED, "other page") == first != claimed
    assert await vote(dataclasses.replace(SIGNED, client_id="signed-2"), "page") != first
    # What was stored under a claimed id is found by its claimers still.
    assert await vote(ANYBODY, "page") == claimed
    # A token names the publisher before the client id does.
    both = dataclasses.replace(ANNA, client_id="signed-1")
    assert await vote(both) == await vote(ANNA) != first
