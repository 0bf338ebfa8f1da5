"""The SQL of a search and the query language in memory mean the same."""

import asyncio
import re
from collections.abc import Coroutine, Iterator
from dataclasses import replace
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
from app.storage import statements
from app.storage.database import Database
from app.storage.search import MAX_GROUP_MESSAGES, AggregateRow, GroupRow, MessageSearch
from app.storage.statements import rendered
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


_CHAT = [
    {"text": "hello", "score": 10, "tags": ["a", "b"]},
    {"text": "Hello", "score": 55.5, "liked": True},
    {"text": "bye", "score": 55.50, "liked": False},
    {"text": "again", "score": "60", "liked": None},
    {"text": "last", "liked": True},
]


def _chat(created: list[int] | None = None) -> list[Message]:
    return [
        Message(
            channel=CHANNEL,
            sequence=sequence,
            id=str(UUID(int=sequence)),
            client_id="client",
            created=created[sequence - 1] if created else 1000 + sequence,
            username=None,
            data_json=encode_json(data),
        )
        for sequence, data in enumerate(_CHAT, 1)
    ]


def test_numbers_compare_with_numbers_only(stored: _Stored) -> None:
    stored.store(_chat())
    query = parse_query(
        {"filters": [{"field": "data.score", "operator": "GT", "value": 55}], "limit": 10}
    )
    assert _sequences(stored.run(stored.search.messages(CHANNEL, query))) == [2, 3]


def test_messages_come_back_as_they_were_published(stored: _Stored) -> None:
    published = _chat()
    stored.store(published)
    found = stored.run(stored.search.messages(CHANNEL, MessageQuery()))
    assert [(message, message.data) for message in found] == [
        (replace(message, data_json=mine.data_json), message.data)
        for message, mine in zip(published, found, strict=True)
    ]


def test_a_channel_finds_nothing_of_another(stored: _Stored) -> None:
    stored.store(_chat())
    elsewhere, query = Channel("project", "other"), parse_query({"groupBy": "data.liked"})
    search = stored.search
    assert stored.run(search.messages(elsewhere, MessageQuery())) == []
    assert stored.run(search.total_count(elsewhere, MessageQuery())) == 0
    assert stored.run(search.groups(elsewhere, query)) == []
    assert stored.run(search.group_messages(elsewhere, query, [b"true"], 5)) == [[]]
    field = FieldPath("data", ("score",))
    assert stored.run(search.aggregate(elsewhere, query, field)) == AggregateRow()
    assert stored.run(search.group_aggregates(elsewhere, query, [b"true"], field)) == [
        AggregateRow()
    ]


def test_groups_come_largest_first_and_a_missing_value_counts_as_null(stored: _Stored) -> None:
    stored.store(_chat())
    query = parse_query({"groupBy": "data.liked"})
    # Two of null, the first message's missing one among them; ties in publish order.
    assert stored.run(stored.search.groups(CHANNEL, query)) == [
        GroupRow(b"null", 2),
        GroupRow(b"true", 2),
        GroupRow(b"false", 1),
    ]
    by_key = parse_query({"groupBy": "data.liked", "sortField": "key", "sortOrder": "DESC"})
    keys = [group.key_json for group in stored.run(stored.search.groups(CHANNEL, by_key))]
    assert keys == [b"true", b"false", b"null"]
    members = stored.run(stored.search.group_messages(CHANNEL, by_key, keys, 1))
    assert list(map(_sequences, members)) == [[2], [3], [1]]


def test_equal_keys_are_one_group_shown_as_first_published(stored: _Stored) -> None:
    stored.store(_chat())
    query = parse_query({"groupBy": "data.score"})
    assert stored.run(stored.search.groups(CHANNEL, query))[0] == GroupRow(b"55.5", 2)


def test_an_aggregate_counts_what_is_there_and_sums_the_numbers(stored: _Stored) -> None:
    stored.store(_chat())
    field = FieldPath("data", ("score",))
    assert stored.run(stored.search.aggregate(CHANNEL, MessageQuery(limit=1), field)) == (
        AggregateRow(count=4, min_json=b'"60"', max_json=b"55.5", sum=121.0, avg=121 / 3)
    )


def test_a_sum_that_fits_no_double_is_null_and_its_average_need_not_be(stored: _Stored) -> None:
    largest = b"1.7976931348623157e308"
    stored.store([replace(message, data_json=largest) for message in _chat()])
    found = stored.run(stored.search.aggregate(CHANNEL, MessageQuery(), FieldPath("data")))
    assert (found.count, found.sum, found.avg) == (5, None, 1.7976931348623157e308)


@pytest.mark.parametrize("created", [[7, 7, 7, 7, 7], [7, 7, 8, 8, 8], [7, 8, 8, 8, 9]])
@pytest.mark.parametrize(("offset", "limit"), [(0, 1), (0, 2), (1, 2), (3, 1), (4, 9), (5, 1)])
def test_newest_first_keeps_publish_order_within_a_millisecond(
    stored: _Stored, created: list[int], offset: int, limit: int
) -> None:
    published = _chat(created)
    stored.store(published)
    query = MessageQuery(descending=True, offset=offset, limit=limit)
    found = stored.run(stored.search.messages(CHANNEL, query))
    expected = sorted(published, key=lambda message: -message.created)[offset : offset + limit]
    assert _sequences(found) == _sequences(expected)


def test_the_newest_page_of_a_long_channel_reads_no_more_than_the_page(stored: _Stored) -> None:
    stored.run(
        stored.database.fetch(
            "INSERT INTO messages (channel, sequence, id, client_id, created, data) "
            "SELECT $1, n, md5(n::text)::uuid, 'c', n / 3, '{}' FROM generate_series(1, 20000) n",
            CHANNEL.key,
        )
    )
    stored.run(stored.database.fetch("ANALYZE messages"))
    for query in (MessageQuery(limit=10), MessageQuery(limit=10, descending=True)):
        sql, parameters = rendered(statements.messages(CHANNEL, query))
        plan = stored.run(
            stored.database.fetch("EXPLAIN (ANALYZE, TIMING OFF) " + sql, *parameters)
        )
        rows = [int(found) for found in re.findall(r"actual rows=(\d+)", str(plan))]
        assert rows, plan
        assert max(rows) <= 20, plan


def test_a_page_of_nothing_asks_nothing(stored: _Stored) -> None:
    nothing = MessageSearch(None)  # type: ignore[arg-type]  # it would be asked otherwise
    assert stored.run(nothing.messages(CHANNEL, MessageQuery(limit=0))) == []
    grouped = MessageQuery(limit=0, group_by=FieldPath("data"))
    assert stored.run(nothing.groups(CHANNEL, grouped)) == []
    assert stored.run(nothing.group_messages(CHANNEL, grouped, [b"1", b"2"], 0)) == [[], []]
    assert stored.run(nothing.group_aggregates(CHANNEL, grouped, [], FieldPath("data"))) == []


def test_the_messages_of_all_groups_together_are_bounded(stored: _Stored) -> None:
    query, keys = MessageQuery(group_by=FieldPath("data")), [b"1"] * 101
    with pytest.raises(BadUserInput, match=r"^101 groups of up to 100 messages are asked for, at"):
        stored.run(stored.search.group_messages(CHANNEL, query, keys, MAX_GROUP_MESSAGES // 100))


def test_the_largest_query_is_answered(stored: _Stored) -> None:
    stored.store(_chat())
    path = "data." + ".".join(["a"] * 31)
    operand = ["x" * 50] * 1000
    wire: dict[str, Any] = {"field": path, "operator": "NOT_IN", "value": operand}
    deep: dict[str, Any] = {"and": [wire] * 100}
    for _ in range(6):
        deep = {"not": deep}
    query = parse_query({"filters": [deep], "sortOrder": "DESC", "limit": 1000, "offset": 0})
    assert len(stored.run(stored.search.messages(CHANNEL, query))) == 5
    assert stored.run(stored.search.total_count(CHANNEL, query)) == 5
