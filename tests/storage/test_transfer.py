"""Batches of a file in the table: gapless, in order, none twice, and what is refused."""

import json
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.storage.transfer import (
    Imported,
    IncomingMessage,
    copy_out,
    message_count,
    place_of,
    store_batch,
)

pytestmark = pytest.mark.anyio

A, B = Channel("p", "a"), Channel("p", "b")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


def message(
    number: int,
    channel: Channel = A,
    created: int = 5,
    *,
    key: str | None = None,
    message_id: str | None = None,
) -> IncomingMessage:
    identity = message_id or str(uuid7())
    return (number, channel.key, identity, "c", created, None, f'{{"n":{number}}}', key, None)


async def stored(connection: Connection, channel: Channel = A) -> list[tuple[int, int]]:
    rows = await connection.fetch(
        "SELECT sequence, data FROM messages WHERE channel = $1 ORDER BY sequence", channel.key
    )
    return [(row["sequence"], json.loads(row["data"])["n"]) for row in rows]


async def store(connection: Connection, *batch: IncomingMessage, skip: bool = True) -> Imported:
    return await store_batch(connection, batch, skip_refused=skip)


async def test_batches_follow_each_other_without_a_gap(connection: Connection) -> None:
    await store(connection, message(1), message(2, B), message(3))
    await store(connection, message(4, created=6))
    assert await stored(connection) == [(1, 1), (2, 3), (3, 4)]
    assert await stored(connection, B) == [(1, 2)]
    head = await connection.fetchrow(
        "SELECT head, last_created, removed FROM channels WHERE channel = $1", A.key
    )
    assert head is not None
    assert tuple(head) == (3, 6, 0)
    assert await message_count(connection, "p", None) == 4
    assert await message_count(connection, "p", "a") == 3
    assert await message_count(connection, "p", "aa") == 0


async def test_what_is_there_is_known_and_left(connection: Connection) -> None:
    first, second = message(1), message(2, created=7)
    await store(connection, first, second)
    again = await store(connection, first, second, message(3, created=8), message(4, created=6))
    assert (again.stored, again.known) == (1, 2)
    assert list(again.refused) == [4]
    assert await stored(connection) == [(1, 1), (2, 2), (3, 3)]


async def test_an_id_twice_in_a_batch_is_stored_once(connection: Connection) -> None:
    one = message(1)
    assert (await store(connection, one, (2, *one[1:]))).known == 1
    assert await stored(connection) == [(1, 1)]


async def test_what_was_retracted_does_not_come_back(connection: Connection) -> None:
    one = message(1)
    await store(connection, one)
    await connection.execute(
        "SELECT retract_messages($1, $2, NULL, true, $3, NULL)", A.key, [one[2]], str(uuid7())
    )
    assert (await store(connection, one, message(2, created=2**43))).known == 1
    assert await stored(connection) == [(3, 2)]
    assert await place_of(connection, A, one[2]) == 1
    assert await place_of(connection, A, str(uuid7())) is None


async def test_time_never_runs_backwards_in_a_channel(connection: Connection) -> None:
    imported = await store(connection, message(1, created=9), message(2, B), message(3))
    assert list(imported.refused) == [3]
    assert "created is 5, and the message before it in the channel has 9" in imported.refused[3]
    assert await stored(connection) == [(1, 1)]


async def test_a_key_is_one_message_s_of_its_publisher(connection: Connection) -> None:
    await store(connection, message(1, key="k"))
    imported = await store(
        connection, message(2, key="k"), message(3, key="l"), message(4, key="l"), message(5)
    )
    assert list(imported.refused) == [2, 4]
    assert await stored(connection) == [(1, 1), (2, 3), (3, 5)]


async def test_from_the_first_refused_one_on_nothing_is_stored(connection: Connection) -> None:
    imported = await store(
        connection, message(1, created=9), message(2), message(3, created=9), skip=False
    )
    assert (imported.stored, list(imported.refused)) == (1, [2])
    assert await stored(connection) == [(1, 1)]


async def test_what_goes_out_is_in_order_and_can_go_on_anywhere(connection: Connection) -> None:
    other = Channel("p0", "a")
    await store(connection, message(1, B), message(2), message(3), message(4, other))
    lines = b""

    async def output(data: bytes) -> None:
        nonlocal lines
        lines += data

    await copy_out(connection, "p", None, "jsonl", output)
    records = [json.loads(line) for line in lines.splitlines()]
    assert [(record["widget_id"], record["data"]["n"]) for record in records] == [
        ("a", 2),
        ("a", 3),
        ("b", 1),
    ]
    whole, lines = lines, b""
    await copy_out(connection, "p", None, "jsonl", output, after=(A, 1))
    assert lines == b"".join(whole.splitlines(keepends=True)[1:])
    lines = b""
    await copy_out(connection, "p", "b", "csv", output)
    assert lines.startswith(b"widget_id,id,client_id,created,username,data,")
    assert lines.count(b"\n") == 2
