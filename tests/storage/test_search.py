"""Pages, groups and aggregates are those of the model, each in one statement."""

import hashlib
import re
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.channel import Channel
from app.domain.json_value import decode_json
from app.domain.message import Message
from app.domain.query import FieldPath, MessageQuery, parse_query
from app.domain.results import AggregateRow, GroupRow
from app.errors import BadUserInput, UnknownCursor
from app.storage import statements
from app.storage.search import MAX_GROUP_MESSAGES, MessageSearch
from app.storage.statements import rendered
from tests.domain.query import reference
from tests.domain.query.reference import order_key
from tests.domain.query.strategies import CHANNEL, fields, filters, messages, queries
from tests.storage.stored import PROPERTY, VALUES, Stored, published, sequences


@settings(PROPERTY, max_examples=30)
@given(st.data())
def test_a_page_has_the_order_of_jsonb_with_ties_in_publish_order(
    stored: Stored, data: st.DataObject
) -> None:
    drawn = data.draw(messages())
    stored.store(drawn)
    for query in data.draw(st.lists(queries(drawn, grouped=False), min_size=6, max_size=6)):
        found = stored.run(stored.search.messages(CHANNEL, query))
        assert sequences(found) == sequences(reference.page(drawn, query)), query
        page = stored.run(stored.search.page_of_messages(CHANNEL, query))
        assert page.rows == found
        assert (page.has_next, page.has_previous) == reference.neighbours(drawn, query), query
        counted = stored.run(stored.search.total_count(CHANNEL, query))
        assert counted == len(reference.chosen(drawn, query)), query


@settings(PROPERTY, max_examples=15)
@given(st.data())
def test_a_walk_by_cursors_sees_everything_once_while_others_publish(
    stored: Stored, data: st.DataObject
) -> None:
    drawn = data.draw(messages())
    known = data.draw(st.integers(1, len(drawn)))
    there, coming = drawn[:known], drawn[known:]
    stored.store(there)
    query = MessageQuery(
        filters=tuple(data.draw(st.lists(filters(drawn), max_size=1))),
        descending=data.draw(st.booleans()),
        limit=data.draw(st.integers(1, 4)),
    )
    expected = reference.chosen(there, query)
    walked: list[Message] = []
    walking = True
    while walking:
        page = stored.run(stored.search.page_of_messages(CHANNEL, query))
        walked += page.rows
        walking = page.has_next
        if walking:
            cursor = "before" if query.descending else "after"
            query = replace(query, **cast("Any", {cursor: page.rows[-1].id}))
        if coming:
            stored.add([coming.pop(0)])
    if query.descending:
        assert sequences(walked) == sequences(expected)[::-1]
    else:
        # Those that came meanwhile are at the end, as far as the walk met them.
        everything = sequences(reference.chosen(drawn, replace(query, after=None)))
        assert sequences(walked) == everything[: len(walked)]
        assert len(walked) >= len(expected)


@settings(PROPERTY, max_examples=35)
@given(st.data())
def test_groups_their_messages_and_their_aggregates_are_those_of_the_model(
    stored: Stored, data: st.DataObject
) -> None:
    drawn = data.draw(messages())
    stored.store(drawn)
    search = stored.search
    for query in data.draw(st.lists(queries(drawn, grouped=True), min_size=3, max_size=3)):
        expected = reference.groups(drawn, query)
        found = stored.run(search.groups(CHANNEL, query))
        assert [(_order_key(group.key_json), group.count) for group in found] == [
            (key, len(members)) for key, members in expected
        ], query
        everything = reference.chosen(drawn, query)
        unpaged = MessageQuery(query.filters, limit=1000, group_by=query.group_by)
        assert stored.run(search.total_count(CHANNEL, query)) == len(
            reference.groups(drawn, unpaged)
        )

        keys = [group.key_json for group in found]
        limit = data.draw(st.integers(0, 3))
        members = stored.run(search.group_messages(CHANNEL, query, keys, limit))
        assert list(map(sequences, members)) == [
            sequences(members[:limit]) for _, members in expected
        ]

        field = data.draw(fields(drawn))
        aggregates = stored.run(search.group_aggregates(CHANNEL, query, keys, field))
        assert list(map(_comparable, aggregates)) == [
            reference.aggregate(members, field) for _, members in expected
        ]
        whole = stored.run(search.aggregate(CHANNEL, query, field))
        assert _comparable(whole) == reference.aggregate(everything, field)


@settings(PROPERTY, max_examples=12)
@given(st.data())
def test_long_channels_and_far_pages_have_other_statements_and_the_same_results(
    stored: Stored, data: st.DataObject
) -> None:
    drawn = data.draw(messages())
    stored.store(drawn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.storage.search._FAR_OFFSET", 0)
        patch.setattr("app.storage.search._OPENING_MESSAGES", data.draw(st.integers(1, 5)))
        for query in data.draw(st.lists(queries(drawn, grouped=False), min_size=3, max_size=3)):
            found = stored.run(stored.search.messages(CHANNEL, query))
            assert sequences(found) == sequences(reference.page(drawn, query)), query
        for query in data.draw(st.lists(queries(drawn, grouped=True), min_size=3, max_size=3)):
            expected = reference.groups(drawn, query)
            keys = [group.key_json for group in stored.run(stored.search.groups(CHANNEL, query))]
            limit = data.draw(st.integers(1, 4))
            members = stored.run(stored.search.group_messages(CHANNEL, query, keys, limit))
            assert list(map(sequences, members)) == [
                sequences(members[:limit]) for _, members in expected
            ]


def test_every_kind_of_value_sorts_as_the_model_does(stored: Stored) -> None:
    drawn = published([*VALUES, *({"a": value} for value in VALUES)])
    stored.store(drawn)
    for field in (FieldPath("data"), FieldPath("data", ("a",))):
        for descending in (False, True):
            query = MessageQuery(sort_field=field, descending=descending, limit=1000)
            found = stored.run(stored.search.messages(CHANNEL, query))
            assert sequences(found) == sequences(reference.page(drawn, query))


def _order_key(text: bytes | None) -> object:
    return None if text is None else order_key(decode_json(text))


def _comparable(row: AggregateRow) -> reference.Aggregate:
    return reference.Aggregate(
        row.count,
        row.distinct,
        _order_key(row.min_json),
        _order_key(row.max_json),
        row.sum,
        row.avg,
    )


_CHAT = [
    {"text": "hello", "score": 10, "tags": ["a", "b"]},
    {"text": "Hello", "score": 55.5, "liked": True},
    {"text": "bye", "score": 55.50, "liked": False},
    {"text": "again", "score": "60", "liked": None},
    {"text": "last", "liked": True},
]


def _chat(created: Sequence[int] = (1, 2, 3, 4, 5)) -> list[Message]:
    return [
        replace(message, created=moment)
        for message, moment in zip(published(_CHAT), created, strict=True)
    ]


def test_numbers_compare_with_numbers_only(stored: Stored) -> None:
    stored.store(_chat())
    query = parse_query(
        {"filters": [{"field": "data.score", "operator": "GT", "value": 55}], "limit": 10}
    )
    assert sequences(stored.run(stored.search.messages(CHANNEL, query))) == [2, 3]


def test_messages_come_back_as_they_werepublished(stored: Stored) -> None:
    drawn = _chat()
    stored.store(drawn)
    found = stored.run(stored.search.messages(CHANNEL, MessageQuery()))
    assert [(message, message.data) for message in found] == [
        (replace(message, data_json=mine.data_json), message.data)
        for message, mine in zip(drawn, found, strict=True)
    ]


def test_a_channel_finds_nothing_of_another(stored: Stored) -> None:
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


def test_groups_come_largest_first_and_a_missing_value_counts_as_null(stored: Stored) -> None:
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
    assert list(map(sequences, members)) == [[2], [3], [1]]


def test_equal_keys_are_one_group_shown_as_firstpublished(stored: Stored) -> None:
    stored.store(_chat())
    query = parse_query({"groupBy": "data.score"})
    assert stored.run(stored.search.groups(CHANNEL, query))[0] == GroupRow(b"55.5", 2)


def test_an_aggregate_counts_what_is_there_and_sums_the_numbers(stored: Stored) -> None:
    stored.store(_chat())
    field = FieldPath("data", ("score",))
    assert stored.run(stored.search.aggregate(CHANNEL, MessageQuery(limit=1), field)) == (
        AggregateRow(
            count=4, distinct=3, min_json=b'"60"', max_json=b"55.5", sum=121.0, avg=121 / 3
        )
    )


def test_a_sum_that_fits_no_double_is_null_and_its_average_need_not_be(stored: Stored) -> None:
    largest = b"1.7976931348623157e308"
    stored.store([replace(message, data_json=largest) for message in _chat()])
    found = stored.run(stored.search.aggregate(CHANNEL, MessageQuery(), FieldPath("data")))
    assert (found.count, found.sum, found.avg) == (5, None, 1.7976931348623157e308)


def test_newest_first_is_publish_order_backwards_within_a_millisecond_too(stored: Stored) -> None:
    """A page that kept ties forwards had no end that the next one could begin at."""
    drawn = _chat([7, 8, 8, 8, 9])
    stored.store(drawn)
    for field in (None, FieldPath("created")):
        query = MessageQuery(sort_field=field, descending=True, offset=1, limit=2)
        assert sequences(stored.run(stored.search.messages(CHANNEL, query))) == [4, 3]


def test_a_page_at_an_end_or_a_cursor_of_a_long_channel_costs_what_it_shows(
    stored: Stored,
) -> None:
    stored.run(
        stored.database.fetch(
            "INSERT INTO messages (channel, sequence, id, client_id, created, data) "
            "SELECT $1, n, md5(n::text)::uuid, 'c', n / 3, '{}' FROM generate_series(1, 50000) n",
            CHANNEL.key,
        )
    )
    stored.run(stored.database.fetch("ANALYZE messages"))
    middle, later = (
        str(UUID(hashlib.md5(str(number).encode()).hexdigest())) for number in (25_000, 40_000)
    )
    ends = [MessageQuery(limit=10, descending=descending) for descending in (False, True)]
    cursors: list[dict[str, Any]] = [
        {"after": middle},
        {"before": middle},
        {"after": middle, "before": later},
    ]
    beside = [replace(query, **cursor) for query in ends for cursor in cursors]
    for query in (*ends, *beside):
        sql, parameters = rendered(statements.messages(CHANNEL, query))
        explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) "
        plan = stored.run(stored.database.fetch(explain + sql, *parameters))
        # The first line about blocks is of the topmost node, which counts those below it.
        found = re.search(r"Buffers: shared (?:hit=(\d+))?(?: read=(\d+))?", str(plan))
        assert found, plan
        assert sum(int(blocks or 0) for blocks in found.groups()) < 50, plan


def test_a_cursor_must_be_a_stored_message_of_the_channel(stored: Stored) -> None:
    stored.store(_chat())
    search, known = stored.search, str(UUID(int=3))
    unknown = str(UUID(int=99))
    elsewhere = Channel("project", "other")
    for channel, cursor in ((CHANNEL, unknown), (elsewhere, known), (CHANNEL, "nonsense")):
        for query in (MessageQuery(after=cursor), MessageQuery(before=cursor, limit=0)):
            for asked in (
                search.messages(channel, query),
                search.page_of_messages(channel, query),
                search.total_count(channel, query),
                search.aggregate(channel, query, FieldPath("data")),
                search.check_cursors(channel, query),
            ):
                with pytest.raises(UnknownCursor, match=re.escape(f"is '{cursor}'; expected the")):
                    stored.run(cast("Coroutine[Any, Any, Any]", asked))
    # Nothing lies between a message and itself, and that is no mistake.
    nothing = MessageQuery(after=known, before=known)
    assert stored.run(search.messages(CHANNEL, nothing)) == []
    assert stored.run(search.total_count(CHANNEL, nothing)) == 0
    # Other spellings of an id are the same id.
    spelt = MessageQuery(after="{" + known.upper() + "}")
    assert sequences(stored.run(search.messages(CHANNEL, spelt))) == [4, 5]


def test_averages_are_told_apart_to_the_last_digit(stored: Stored) -> None:
    """Division in Postgres rounds to some twenty digits, where these two averages are equal."""
    more = Decimal("1." + "0" * 389 + "1")
    stored.store(published([["a", 1], ["a", 1], ["a", 1], ["b", 1], ["b", 1], ["b", more]]))
    for descending, keys in ((True, [b'"b"', b'"a"']), (False, [b'"a"', b'"b"'])):
        wire = {"groupBy": "data.0", "sortField": "avg(data.1)"}
        query = replace(parse_query(wire), descending=descending)
        found = stored.run(stored.search.groups(CHANNEL, query))
        assert [group.key_json for group in found] == keys


def test_a_page_of_nothing_asks_nothing(stored: Stored) -> None:
    stored.run(stored.database.close())  # it would be asked otherwise
    nothing = MessageSearch(stored.database)
    assert stored.run(nothing.messages(CHANNEL, MessageQuery(limit=0))) == []
    grouped = MessageQuery(limit=0, group_by=FieldPath("data"))
    assert stored.run(nothing.groups(CHANNEL, grouped)) == []
    assert stored.run(nothing.group_messages(CHANNEL, grouped, [b"1", b"2"], 0)) == [[], []]
    assert stored.run(nothing.group_aggregates(CHANNEL, grouped, [], FieldPath("data"))) == []


def test_the_messages_of_all_groups_together_are_bounded(stored: Stored) -> None:
    query, keys = MessageQuery(group_by=FieldPath("data")), [b"1"] * 101
    with pytest.raises(BadUserInput, match=r"^101 groups of up to 100 messages are requested, at"):
        stored.run(stored.search.group_messages(CHANNEL, query, keys, MAX_GROUP_MESSAGES // 100))


def test_the_largest_query_is_answered(stored: Stored) -> None:
    stored.store(_chat())
    path = "data." + ".".join(["a"] * 31)
    wire: dict[str, Any] = {"field": path, "operator": "NOT_IN", "value": ["x" * 25] * 950}
    few: dict[str, Any] = {**wire, "value": ["y" * 350]}
    deep: dict[str, Any] = {"and": [wire, wire, *([few] * 15), *([{**wire, "value": []}] * 47)]}
    for _ in range(6):
        deep = {"not": deep}
    query = parse_query({"filters": [deep], "sortOrder": "DESC", "limit": 1000, "offset": 0})
    assert len(stored.run(stored.search.messages(CHANNEL, query))) == 5
    assert stored.run(stored.search.total_count(CHANNEL, query)) == 5
