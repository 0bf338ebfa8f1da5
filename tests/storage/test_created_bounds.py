"""A time is a run of sequences, wherever it begins and whatever was deleted in it."""

import re
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.message import Message
from app.domain.query import (
    And,
    Comparison,
    FieldPath,
    Filter,
    MessageQuery,
    Not,
    Operator,
    Or,
    matches,
)
from app.storage import statements
from app.storage.created_bounds import by_sequence
from app.storage.statements import rendered
from tests.domain.query.strategies import CHANNEL
from tests.storage.stored import PROPERTY, Stored, published, sequences

_CREATED = FieldPath("created")
_OPERATORS = [
    Operator.GT,
    Operator.GTE,
    Operator.LT,
    Operator.LTE,
    Operator.EQ,
    Operator.NEQ,
]
_values = st.one_of(
    st.integers(-1, 12),
    st.integers(-2, 24).map(lambda halves: Decimal(halves) / 2),
    st.sampled_from([-(2**63), 2**63 - 1, 2**63, Decimal("1e300"), Decimal("-1e-300")]),
)
_comparisons: st.SearchStrategy[Filter] = st.builds(
    Comparison, st.just(_CREATED), st.sampled_from(_OPERATORS), _values
)


@st.composite
def _times(draw: st.DrawFn) -> list[Message]:
    """Draw messages of few milliseconds, some of them deleted."""
    steps = draw(st.lists(st.sampled_from([0, 0, 0, 1, 3]), max_size=14))
    kept = draw(st.sets(st.integers(0, 14), max_size=15))
    found, created = [], 0
    for place, message in enumerate(published(list(range(len(steps))))):
        created += steps[place]
        if place in kept:
            found.append(replace(message, created=created))
    return found


@settings(PROPERTY, max_examples=25)
@given(
    drawn=_times(),
    conditions=st.lists(
        st.lists(
            _comparisons
            | st.lists(_comparisons, max_size=2).map(lambda all_of: And(tuple(all_of)))
            | st.lists(_comparisons, max_size=2).map(lambda any_of: Or(tuple(any_of)))
            | _comparisons.map(Not),
            max_size=3,
        ),
        min_size=8,
        max_size=8,
    ),
)
def test_bounds_leave_what_the_filters_leave(
    stored: Stored, drawn: list[Message], conditions: list[list[Filter]]
) -> None:
    stored.store(drawn)
    for filters in conditions:
        query = MessageQuery(filters=tuple(filters), limit=1000)
        expected = [one for one in drawn if all(matches(one, each) for each in filters)]
        found = stored.run(stored.search.messages(CHANNEL, query))
        assert sequences(found) == sequences(expected), filters


def test_only_what_must_hold_becomes_a_bound() -> None:
    since = Comparison(_CREATED, Operator.GTE, 1)
    other = Comparison(FieldPath("data"), Operator.EQ, 1)
    bounds, rest = by_sequence(CHANNEL, [since, And((since, other)), Or((since,)), Not(since)])
    assert len(bounds) == 2
    assert rest == [other, Or((since,)), Not(since)]
    between = Comparison(_CREATED, Operator.EQ, 1)
    bounds, rest = by_sequence(CHANNEL, [between, Comparison(_CREATED, Operator.NEQ, 1)])
    assert len(bounds) == 2
    assert rest == [Comparison(_CREATED, Operator.NEQ, 1)]


def test_a_time_in_a_long_channel_costs_what_it_holds(stored: Stored) -> None:
    """280 ms in a channel of a million: each message was looked at."""
    stored.run(
        stored.database.fetch(
            "INSERT INTO messages (channel, sequence, id, client_id, created, data) "
            "SELECT $1, n, md5(n::text)::uuid, 'c', n / 3, '{}' FROM generate_series(1, 50000) n",
            CHANNEL.key,
        )
    )
    stored.run(stored.database.fetch("ANALYZE messages"))
    filters = (
        Comparison(_CREATED, Operator.GTE, 8_000),
        Comparison(_CREATED, Operator.LT, 8_010),
    )
    for descending in (False, True):
        query = MessageQuery(filters=filters, descending=descending)
        assert len(stored.run(stored.search.messages(CHANNEL, query))) == 30
        for statement in (
            statements.messages(CHANNEL, query),
            statements.count_messages(CHANNEL, query),
        ):
            sql, parameters = rendered(statement)
            explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) "
            plan = stored.run(stored.database.fetch(explain + sql, *parameters))
            found = re.search(r"Buffers: shared (?:hit=(\d+))?(?: read=(\d+))?", str(plan))
            assert found, plan
            # Two searches of sixteen look-ups, each of a few blocks, and the messages.
            assert sum(int(blocks or 0) for blocks in found.groups()) < 200, plan
