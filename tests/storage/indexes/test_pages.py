"""What is found is the same with and without indexes, and costs what it shows."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.json_value import decode_json
from app.domain.query import MessageQuery, parse_query
from app.storage.database import Database
from app.storage.indexes import pages
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.search import MessageSearch
from app.storage.statement_forms import StatementForms
from tests.domain.query import reference
from tests.domain.query.reference import order_key
from tests.domain.query.strategies import CHANNEL
from tests.storage.indexes.conftest import Indexed, index_on
from tests.storage.indexes.values import FIELDS, LONG, keyed_messages, keyed_queries
from tests.storage.stored import PROPERTY, VALUES, Stored, published, sequences


@settings(PROPERTY, max_examples=15)
@given(st.data())
def test_pages_and_counts_are_those_of_the_model(indexed: Indexed, data: st.DataObject) -> None:
    drawn = data.draw(keyed_messages())
    indexed.store(drawn)
    search = indexed.search
    queries = keyed_queries(drawn, grouped=False)
    for query in data.draw(st.lists(queries, min_size=8, max_size=8)):
        found = indexed.run(search.messages(CHANNEL, query))
        assert sequences(found) == sequences(reference.page(drawn, query)), query
        count = indexed.run(search.total_count(CHANNEL, query))
        assert count == len(reference.chosen(drawn, query)), query


@settings(PROPERTY, max_examples=8)
@given(st.data())
def test_groups_and_aggregates_are_those_of_the_model(
    indexed: Indexed, data: st.DataObject
) -> None:
    drawn = data.draw(keyed_messages())
    indexed.store(drawn)
    search = indexed.search
    queries = keyed_queries(drawn, grouped=True)
    for query in data.draw(st.lists(queries, min_size=4, max_size=4)):
        expected = reference.groups(drawn, query)
        found = indexed.run(search.groups(CHANNEL, query))
        assert [(order_key(decode_json(one.key_json)), one.count) for one in found] == [
            (key, len(members)) for key, members in expected
        ]
        keys = [one.key_json for one in found]
        members = indexed.run(search.group_messages(CHANNEL, query, keys, 2))
        assert list(map(sequences, members)) == [sequences(some[:2]) for _, some in expected]
        whole = indexed.run(search.aggregate(CHANNEL, query, FIELDS[1]))
        values = reference.aggregate(reference.chosen(drawn, query), FIELDS[1])
        assert (whole.count, whole.sum, whole.avg) == (values.count, values.sum, values.avg)


@pytest.mark.parametrize("descending", [False, True])
def test_every_kind_of_value_sorts_as_the_model_does(indexed: Indexed, descending: bool) -> None:
    drawn = published([{"a": value, "b": 1} for value in [*VALUES, *LONG, *LONG]] + [{"b": 1}] * 3)
    indexed.store(drawn)
    for filters in ([], [{"field": "data.b", "operator": "EQ", "value": 1}]):
        for offset in range(0, len(drawn), 7):
            wire = {"sortField": "data.a", "filters": filters, "limit": 5, "offset": offset}
            query = parse_query(wire | {"sortOrder": "DESC" if descending else "ASC"})
            found = indexed.run(indexed.search.messages(CHANNEL, query))
            assert sequences(found) == sequences(reference.page(drawn, query)), offset


_MANY = """
    INSERT INTO messages (channel, sequence, id, client_id, created, username, data)
    SELECT $1, n, md5(n::text)::uuid, 'client-' || n % 400, n, 'user-' || n % 500,
        jsonb_build_object('user', 'user-' || n % 400, 'score', n * 7919 % 20011 / 10,
            'level', n % 7, 'old', CASE WHEN n < 200 THEN 'old' ELSE 'new' END)
    FROM generate_series(1, 20000) AS n
"""
_USER = {"field": "data.user", "operator": "EQ", "value": "user-7"}
_OLD = {"field": "data.old", "operator": "EQ", "value": "old"}
_HIGH = {"field": "data.score", "operator": "GT", "value": 1990}
_LOW = {"field": "data.score", "operator": "GT", "value": 10}
_NEWEST: dict[str, Any] = {"sortOrder": "DESC"}
_TOP: dict[str, Any] = {"sortField": "data.score", "sortOrder": "DESC", "limit": 10}
_SERVED: list[dict[str, Any]] = [
    {"filters": [{"field": "clientId", "operator": "EQ", "value": "client-7"}]},
    _NEWEST | {"filters": [{"field": "clientId", "operator": "EQ", "value": "client-7"}]},
    _NEWEST | {"filters": [{"field": "username", "operator": "EQ", "value": "user-7"}]},
    _NEWEST | {"filters": [{"field": "clientId", "operator": "IN", "value": ["client-7", "x"]}]},
    _NEWEST | {"filters": [{"field": "clientId", "operator": "EQ", "value": "nobody"}]},
    _NEWEST | {"filters": [_USER]},
    _NEWEST | {"filters": [_USER | {"value": "nobody"}]},
    _NEWEST | {"filters": [_USER | {"operator": "IN", "value": ["user-7", "user-8"]}]},
    # Half of all messages have one of the two values, and the newest have the other one.
    _NEWEST | {"filters": [_OLD], "limit": 20},
    _NEWEST | {"filters": [_USER, {"field": "data.level", "operator": "EQ", "value": 3}]},
    _TOP,
    _TOP | {"sortOrder": "ASC"},
    _TOP | {"filters": [_HIGH]},
    _TOP | {"filters": [_LOW]},
    _TOP | {"filters": [_LOW], "sortOrder": "ASC"},
    _TOP | {"filters": [_USER]},
]


def test_a_page_that_an_index_serves_costs_what_it_shows(stored: Stored, database_url: str) -> None:
    stored.run(stored.database.fetch(_MANY, CHANNEL.key))
    indexes = SearchIndexes()
    built = [index_on("user"), index_on("score"), index_on("level", "user"), index_on("old")]
    built.append(index_on("user", "score"))
    for index in built:
        stored.run(stored.database.fetch(index.create_sql.replace(" CONCURRENTLY", "")))
    stored.run(stored.database.fetch("ANALYZE messages"))
    indexes.refresh(built, strings_in_order=True)
    plain = MessageSearch(stored.database)
    for wire in _SERVED:
        query = parse_query(wire)
        served = pages.messages(CHANNEL, query, indexes, StatementForms().rendered)
        assert served.index is not None, wire
        assert served.cost == MessageQuery(limit=query.limit), "the quick lane is for it"
        blocks, plan = _blocks(stored.database, stored, served)
        assert blocks < 250, (wire, plan)
        rows = stored.run(stored.database.fetch(served.sql, *served.parameters))
        expected = stored.run(plain.messages(CHANNEL, query))
        assert [row["sequence"] for row in rows] == sequences(expected), wire
    counted = stored.run(
        MessageSearch(stored.database, indexes=indexes).total_count(CHANNEL, query)
    )
    assert counted == 50


def _blocks(database: Database, stored: Stored, served: pages.Served) -> tuple[int, str]:
    explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) "
    plan = str(stored.run(database.fetch(explain + served.sql, *served.parameters)))
    # The first line about blocks is of the topmost node, which counts those below it.
    found = re.search(r"Buffers: shared (?:hit=(\d+))?(?: read=(\d+))?", plan)
    assert found, plan
    return sum(int(blocks or 0) for blocks in found.groups()), plan


def test_strings_are_sorted_by_an_index_only_where_it_has_their_order() -> None:
    indexes, render = SearchIndexes(), StatementForms().rendered
    indexes.refresh([index_on("score")], strings_in_order=False)
    assert pages.messages(CHANNEL, parse_query(_TOP), indexes, render).index is None
    numbers = parse_query(_TOP | {"filters": [_LOW]})
    assert pages.messages(CHANNEL, numbers, indexes, render).index == index_on("score")
