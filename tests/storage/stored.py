"""A channel of a real database that tests fill and search."""

import asyncio
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import HealthCheck, settings

from app.domain.channel import Channel
from app.domain.json_value import encode_json
from app.domain.message import Message
from app.storage.database import Database
from app.storage.search import MessageSearch
from tests.domain.query.strategies import CHANNEL

__all__ = ["PROPERTY", "VALUES", "Stored", "published", "sequences"]

# The channel is emptied before each example, so that one database serves them all.
PROPERTY = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


# One of each kind of value, and pairs that one of the two sides might take for equal.
VALUES: list[Any] = [
    *(None, True, False, "", "a", "ab", "b", "1", "null", "true", "é", "e\u0301", "\U0001f600"),
    *("\ufffd", "a%", "[]", 0, 1, 2, -1, 2**63, 2**53 + 1, 10**308, Decimal("1.0"), Decimal("0.1")),
    *(Decimal("0.1000000000000000055511151231257827"), Decimal("-0.0"), Decimal("5e-324")),
    *([], [[]], [None], [1], [True], [1, 2], [2, 1], ["a"], ["ab"], [[1]], [[1, 2]], [{"a": 1}]),
    *({}, {"a": 1}, {"a": True}, {"a": None}, {"b": 1}, {"a": 1, "b": 2}, {"a": [1]}, {"bb": 1}),
]


T = TypeVar("T")

_INSERT = """
    INSERT INTO messages (channel, sequence, id, client_id, created, username, data)
    SELECT $1, * FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::bigint[], $6::text[],
        $7::jsonb[])
"""
_COUNT = """
    INSERT INTO channels (channel, head, last_created, removed)
    SELECT $1, coalesce(max(sequence), 0), coalesce(max(created), 0),
        coalesce(max(sequence), 0) - count(*)
    FROM messages WHERE channel = $1
    ON CONFLICT (channel) DO UPDATE
    SET head = excluded.head, last_created = excluded.last_created, removed = excluded.removed
"""


_LENGTHEN = """
    UPDATE channels SET removed = removed + greatest($2 - head, 0), head = greatest($2, head)
    WHERE channel = $1
"""


class Stored:
    """A channel of the database that holds some messages and can be searched without a loop."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        self._runner = runner
        self.database = database
        self.search = MessageSearch(database)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def store(self, messages: list[Message], head: int = 0) -> None:
        """Make these the channel's only messages; the others up to `head` are gone."""
        for table in ("messages", "channels"):
            delete = f"DELETE FROM {table} WHERE channel = $1"
            self.run(self.database.fetch(delete, CHANNEL.key))
        self.add(messages)
        self.run(self.database.fetch(_LENGTHEN, CHANNEL.key, head))

    def add(self, messages: list[Message]) -> None:
        """Make these the channel's newest messages."""
        self.run(_store(self.database, CHANNEL, messages))


async def _store(database: Database, channel: Channel, messages: list[Message]) -> None:
    """Insert messages as they are."""
    columns = [
        [message.sequence for message in messages],
        [UUID(message.id) for message in messages],
        [message.client_id for message in messages],
        [message.created for message in messages],
        [message.username for message in messages],
        [message.data_json for message in messages],
    ]
    await database.fetch(_INSERT, channel.key, *columns)
    await database.fetch(_COUNT, channel.key)


def published(datas: list[Any]) -> list[Message]:
    """Return messages of these data, one a millisecond."""
    return [
        Message(
            channel=CHANNEL,
            sequence=sequence,
            id=str(UUID(int=sequence)),
            client_id="client",
            created=1000 + sequence,
            username=None,
            data_json=encode_json(data),
        )
        for sequence, data in enumerate(datas, 1)
    ]


def sequences(messages: list[Message]) -> list[int | None]:
    """Return what tells messages of one channel apart."""
    return [message.sequence for message in messages]
