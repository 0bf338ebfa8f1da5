"""The SQL of a search and the query language in memory mean the same."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.channel import Channel
from app.domain.json_value import decode_json, encode_json
from app.domain.message import Message
from app.domain.query import FieldPath, MessageQuery, matches, parse_query
from app.errors import BadUserInput
from app.storage.database import Database
from app.storage.search import MAX_GROUP_MESSAGES, AggregateRow, GroupRow, MessageSearch
from tests.domain.query import reference
from tests.domain.query.reference import order_key
from tests.domain.query.strategies import CHANNEL, fields, filters, messages, queries

T = TypeVar("T")

_INSERT = """
    INSERT INTO messages (channel, sequence, id, client_id, created, username, data)
    SELECT $1, * FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::bigint[], $6::text[],
        $7::jsonb[])
"""


class _Stored:
    """A channel of the database that holds some messages and can be searched without a loop."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        self._runner = runner
        self.database = database
        self.search = MessageSearch(database)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def store(self, messages: list[Message]) -> None:
        """Make these the channel's only messages."""
        self.run(self.database.fetch("DELETE FROM messages WHERE channel = $1", CHANNEL.key))
        self.run(store(self.database, CHANNEL, messages))


async def store(database: Database, channel: Channel, messages: list[Message]) -> None:
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


@pytest.fixture
def stored(database_url: str) -> Iterator[_Stored]:
    with asyncio.Runner() as runner:
        database = runner.run(Database.connect(database_url, pool_size=1))
        yield _Stored(runner, database)
        runner.run(database.close())


# The channel is emptied before each example, so that one database serves them all.
_PROPERTY = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(_PROPERTY, max_examples=120)
@given(st.data())
def test_a_filter_selects_the_same_messages_in_sql_and_in_memory(
    stored: _Stored, data: st.DataObject
) -> None:
    published = data.draw(messages())
    stored.store(published)
    for condition in data.draw(st.lists(filters(published), min_size=6, max_size=6)):
        query = MessageQuery(filters=(condition,), limit=1000)
        found = stored.run(stored.search.messages(CHANNEL, query))
        expected = [message for message in published if matches(message, condition)]
        assert _sequences(found) == _sequences(expected), condition
        assert stored.run(stored.search.total_count(CHANNEL, query)) == len(expected)


@settings(_PROPERTY, max_examples=60)
@given(st.data())
def test_a_page_has_the_order_of_jsonb_with_ties_in_publish_order(
    stored: _Stored, data: st.DataObject
) -> None:
    published = data.draw(messages())
    stored.store(published)
    for query in data.draw(st.lists(queries(published, grouped=False), min_size=6, max_size=6)):
        found = stored.run(stored.search.messages(CHANNEL, query))
        assert _sequences(found) == _sequences(reference.page(published, query)), query


@settings(_PROPERTY, max_examples=60)
@given(st.data())
def test_groups_their_messages_and_their_aggregates_are_those_of_the_model(
    stored: _Stored, data: st.DataObject
) -> None:
    published = data.draw(messages())
    stored.store(published)
    search = stored.search
    for query in data.draw(st.lists(queries(published, grouped=True), min_size=3, max_size=3)):
        expected = reference.groups(published, query)
        found = stored.run(search.groups(CHANNEL, query))
        assert [(_order_key(group.key_json), group.count) for group in found] == [
            (key, len(members)) for key, members in expected
        ]
        everything = reference.chosen(published, query)
        unpaged = MessageQuery(query.filters, limit=1000, group_by=query.group_by)
        assert stored.run(search.total_count(CHANNEL, query)) == len(
            reference.groups(published, unpaged)
        )

        keys = [group.key_json for group in found]
        limit = data.draw(st.integers(0, 3))
        members = stored.run(search.group_messages(CHANNEL, query, keys, limit))
        assert list(map(_sequences, members)) == [
            _sequences(members[:limit]) for _, members in expected
        ]

        field = data.draw(fields(published))
        aggregates = stored.run(search.group_aggregates(CHANNEL, query, keys, field))
        assert list(map(_comparable, aggregates)) == [
            reference.aggregate(members, field) for _, members in expected
        ]
        whole = stored.run(search.aggregate(CHANNEL, query, field))
        assert _comparable(whole) == reference.aggregate(everything, field)


def _sequences(messages: list[Message]) -> list[int | None]:
    return [message.sequence for message in messages]


def _order_key(text: bytes | None) -> object:
    return None if text is None else order_key(decode_json(text))


def _comparable(row: AggregateRow) -> reference.Aggregate:
    return reference.Aggregate(
        row.count, _order_key(row.min_json), _order_key(row.max_json), row.sum, row.avg
    )
