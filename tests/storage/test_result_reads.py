"""What kept results begin with; that they are right is tests of `services.live.kept_result`."""

import pytest

from app.domain.message import Head
from app.domain.query import FieldPath, MessageQuery, parse_query
from app.storage.indexes.demand import Demand
from app.storage.result_reads import ResultReads
from app.storage.search import MessageSearch
from tests.domain.query.strategies import CHANNEL
from tests.storage.stored import Stored, published, sequences

LIKED, N = FieldPath("data", ("liked",)), FieldPath("data", ("n",))
POLL = MessageQuery(group_by=LIKED)


def test_nothing_after_the_head_is_read(stored: Stored) -> None:
    stored.store(published([{"liked": n % 2, "n": n} for n in range(10)]))
    reads, head = stored.run(ResultReads.of(stored.search, stored.database)), Head(4, 4)
    assert sequences(stored.run(reads.first(CHANNEL, MessageQuery(), 100, head))) == [1, 2, 3, 4]
    groups = stored.run(reads.groups(CHANNEL, POLL, (N, True), head, (10, 10)))
    assert groups is not None
    assert sorted((group.key, group.count, group.first) for group in groups.value) == [
        (0, 2, 1),
        (1, 2, 2),
    ]
    tally = stored.run(reads.tally(CHANNEL, MessageQuery(), N, True, head, 10))
    assert tally is not None
    assert (tally.value.row.sum, tally.value.row.distinct, tally.value.row.max_json) == (
        6.0,
        4,
        b"3",
    )


def test_more_than_may_be_kept_is_none(stored: Stored) -> None:
    stored.store(published([{"liked": n, "n": n} for n in range(4)]))
    reads, head = stored.run(ResultReads.of(stored.search, stored.database)), Head(4, 4)
    assert stored.run(reads.groups(CHANNEL, POLL, None, head, (3, 3))) is None
    assert stored.run(reads.groups(CHANNEL, POLL, (N, True), head, (4, 3))) is None
    assert stored.run(reads.tally(CHANNEL, MessageQuery(), N, True, head, 3)) is None


def test_large_keys_and_values_are_not_read(stored: Stored) -> None:
    """Ten thousand groups of 64 KiB each would be read to find that they take too much."""
    reads, head = stored.run(ResultReads.of(stored.search, stored.database)), Head(2, 2)
    stored.store(published([{"liked": 1, "n": 1}, {"liked": "x" * 500, "n": 1}]))
    assert stored.run(reads.groups(CHANNEL, POLL, None, head, (9, 9))) is None
    stored.store(published([{"liked": 1, "n": 1}, {"liked": 1, "n": "x" * 500}]))
    assert stored.run(reads.groups(CHANNEL, POLL, (N, False), head, (9, 9))) is None
    assert stored.run(reads.groups(CHANNEL, POLL, (N, True), head, (9, 9))) is None
    assert stored.run(reads.tally(CHANNEL, MessageQuery(), N, True, head, 9)) is None
    assert stored.run(reads.tally(CHANNEL, MessageQuery(), N, False, head, 9)) is not None


def test_what_is_searched_for_is_noted_for_the_indexes(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that a kept result takes over may want an index as much as any other."""
    monkeypatch.setattr("app.storage.indexes.demand.SLOW_SECONDS", 0.0)
    stored.store(published([{"n": 1}]))
    demand = Demand()
    reads = stored.run(
        ResultReads.of(MessageSearch(stored.database, demand=demand), stored.database)
    )
    wire = {"filters": [{"field": "data.n", "operator": "GT", "value": 0}]}
    assert stored.run(reads.count(CHANNEL, parse_query(wire), Head(1, 1))).value == 1
    (noted,) = demand.take()
    assert [str(field) for field in noted.index.fields] == ["data.n"]


def test_the_embedded_database_orders_strings_as_python_does(stored: Stored) -> None:
    assert stored.run(ResultReads.of(stored.search, stored.database)).orders_by_code_point
