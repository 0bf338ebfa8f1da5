"""What there is of a person is found by the name on it, exactly, in every channel."""

import pytest
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.message import Draft
from app.storage.database import Database
from app.storage.erasure import (
    TABLES,
    Traces,
    bans_of,
    forget_held,
    forget_keys,
    messages_of,
    traces_of,
)
from app.storage.held_writer import HeldWriter
from app.storage.search import MessageSearch
from app.storage.writer import MessageWriter

pytestmark = pytest.mark.anyio


async def publish(database: Database, key: str, username: str | None) -> None:
    writer = MessageWriter(database, lambda _messages: None)
    channel = Channel.from_key(key)
    await writer.write(Draft(channel, str(uuid7()), "client", username, b'"secret"'))


async def hold(database: Database, key: str, username: str | None, publisher: str = "x") -> None:
    """Let a message wait for a moderator."""
    writer = HeldWriter(database, lambda _channels: None)
    channel = Channel.from_key(key)
    await writer.write(
        Draft(channel, str(uuid7()), "client", username, b'"secret"', publisher=publisher)
    )


async def test_what_waits_for_a_moderator_is_found_and_forgotten(database: Database) -> None:
    for key, username in (("p/a", "Zoé"), ("p/a", "Zoé"), ("p/b", "Bob"), ("q/a", "Zoé")):
        await hold(database, key, username)
    await publish(database, "p/a", "Zoé")
    assert await traces_of(database, "Zoé", None) == [
        Traces(Channel("p", "a"), 3),
        Traces(Channel("q", "a"), 1),
    ]
    assert await forget_held(database, "Zoé", "p") == {Channel("p", "a"): 2}
    assert await forget_held(database, "Zoé", None) == {Channel("q", "a"): 1}
    assert await forget_held(database, "Zoé", None) == {}
    rows = await database.fetch("SELECT username FROM held_messages")
    assert [row["username"] for row in rows] == ["Bob"]


async def test_each_channel_is_named_with_what_it_has(database: Database) -> None:
    for key, username in (
        *(("p/b", "Zoé"), ("p/a", "Zoé"), ("p/a", "Zoé"), ("q/a", "Zoé"), ("p.b/a", "Zoé")),
        *(("p/a", "zoé"), ("p/a", None), ("p/c", "Zoe\u0301"), ("p0/a", "Zoé")),
    ):
        await publish(database, key, username)

    async def found(username: str, project_id: str | None = None) -> list[tuple[str, int]]:
        traces = await traces_of(database, username, project_id)
        assert all(isinstance(one, Traces) for one in traces)
        return [(one.channel.key, one.messages) for one in traces]

    assert await found("Zoé", "p") == [("p/a", 2), ("p/b", 1)]
    assert len(await found("Zoé")) == 5
    assert await found("nobody") == []
    search = MessageSearch(database)
    matching = await search.messages(Channel("p", "a"), messages_of("Zoé"))
    assert [message.username for message in matching] == ["Zoé", "Zoé"]


async def test_spent_keys_of_a_person_are_forgotten_and_those_of_others_stay(
    database: Database,
) -> None:
    for key, publisher in (("p/a", "sub:zoe"), ("q/a", "sub:zoe"), ("q/b", "sub:bob")):
        await publish(database, key, None)
        await database.fetch(
            "INSERT INTO retracted_messages VALUES ($1, 1, gen_random_uuid(), $2, 'vote')",
            *(key, publisher),
        )
    writer = MessageWriter(database, lambda _entries: None)
    hers = Draft(Channel("r", "a"), str(uuid7()), "client", "Zoé", b"1", publisher="sub:zoe")
    await writer.write(hers)

    async def known() -> list[str]:
        spent = "SELECT channel FROM retracted_messages WHERE key_owner IS NOT NULL ORDER BY 1"
        return [row["channel"] for row in await database.fetch(spent)]

    await forget_keys(database, "Zoé", "q")
    assert await known() == ["p/a", "q/b"]
    await forget_keys(database, "Zoé", None)
    assert await known() == ["q/b"]
    await forget_keys(database, "nobody", None)
    assert await known() == ["q/b"]
    await hold(database, "r/b", "Bob", "sub:bob")
    await forget_keys(database, "Bob", None)
    assert await known() == []


async def test_bans_by_the_name_are_counted_where_they_are_in_force(database: Database) -> None:
    for project, kind, name, gone_at in (
        *(("p", "username", "Zoé", None), ("q", "username", "Zoé", None)),
        *(("r", "username", "Zoé", 1), ("p", "sub", "Zoé", None), ("p", "username", "Bob", None)),
    ):
        await database.fetch(
            "INSERT INTO bans (project_id, kind, name, id, mode, gone_at, version) "
            "VALUES ($1, $2, $3, gen_random_uuid(), 'MUTE', $4, 1)",
            *(project, kind, name, gone_at),
        )
    assert await bans_of(database, "Zoé", None) == 2
    assert await bans_of(database, "Zoé", "p") == 1
    assert await bans_of(database, "nobody", None) == 0


async def test_each_table_with_user_names_is_cleaned(database: Database) -> None:
    rows = await database.fetch(
        "SELECT DISTINCT table_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND column_name = 'username'"
    )
    assert {row["table_name"] for row in rows} <= set(TABLES)
