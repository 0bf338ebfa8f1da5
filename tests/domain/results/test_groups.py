"""Groups that messages come to and go from are the model's."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.domain.json_value import decode_json
from app.domain.message import Message
from app.domain.query import AggregateFunction, AggregateSort, FieldPath, MessageQuery
from app.domain.query.matching import field_getter
from app.domain.results import Effect, FoundGroup, KeptGroups, Tally
from tests.domain.query import reference
from tests.domain.query.reference import order_key
from tests.domain.query.strategies import fields, queries
from tests.domain.results.changes import changes, drawn_messages, steps
from tests.domain.results.test_tally import comparable
from tests.storage.stored import published

POLL = FieldPath("data", ("liked",))


def read(there: list[Message], query: MessageQuery, field: FieldPath) -> list[FoundGroup]:
    """Return all groups as a search of the database would."""
    assert query.group_by
    get = field_getter(query.group_by)
    found = []
    every = MessageQuery(group_by=query.group_by, limit=10_000)
    for _, members in reference.groups(there, every):
        tally = Tally(counts_distinct=True)
        for one in members:
            tally.add(field_getter(field)(one))
        key, first = get(members[0]), members[0].sequence
        assert first is not None
        key = None if repr(key) == "MISSING" else key
        found.append(FoundGroup(key, len(members), first, {field: tally}))
    return found


@given(st.data())
def test_messages_that_come_and_go_leave_the_groups_of_the_model(data: st.DataObject) -> None:
    drawn = data.draw(drawn_messages)
    query = replace(data.draw(queries(drawn, grouped=True)), filters=())
    field = data.draw(fields(drawn))
    if isinstance(query.sort_field, AggregateSort):
        field = query.sort_field.field
    groups = KeptGroups(query, {field: True})
    made = data.draw(changes(drawn))
    for effect, there in steps(made, groups.add, groups.remove):
        if effect is Effect.LOST:
            groups.fill(read(there, query, field))
        page = groups.page(query.offset, query.limit)
        expected = reference.groups(there, query)
        assert [(order_key(decode_json(row.key_json)), row.count) for row in page] == [
            (key, len(members)) for key, members in expected
        ]
        for row, (_, members) in zip(page, expected, strict=True):
            found = comparable(groups.aggregate(row.key_json, field))
            model = reference.aggregate(members, field)
            assert found[:-1] == (
                model.count,
                model.min_key,
                model.max_key,
                model.sum,
                model.avg,
            )


def test_a_leaderboard_has_one_row_a_player() -> None:
    player, score = FieldPath("data", ("player",)), FieldPath("data", ("score",))
    query = MessageQuery(
        group_by=player, sort_field=AggregateSort(AggregateFunction.MAX, score), limit=3
    )
    groups = KeptGroups(query, {score: False})
    for message in published(
        [{"player": "a", "score": 1}, {"player": "b", "score": 5}, {"player": "a", "score": 7}]
    ):
        groups.add(message)
    assert [row.key_json for row in groups.page(0, 3)] == [b'"a"', b'"b"']


def test_a_group_is_found_however_its_key_is_written() -> None:
    """One part of a result was read from the table, the other had the publisher's own text."""
    (message,) = published([{"liked": Decimal("1E+2")}])
    groups = KeptGroups(MessageQuery(group_by=POLL), {POLL: False})
    groups.add(message)
    assert groups.aggregate(b"100", POLL).count == 1
    assert groups.aggregate(b"101", POLL).count == 0


def test_a_group_that_everybody_left_is_gone() -> None:
    (message,) = published([{"liked": True}])
    groups = KeptGroups(MessageQuery(group_by=POLL), {})
    groups.add(message)
    assert groups.size > 0
    assert groups.remove(message) is Effect.CHANGED
    assert (groups.page(0, 10), len(groups), groups.size) == ([], 0, 0)


def test_the_message_that_a_group_is_shown_by_is_to_be_found_again() -> None:
    first, second = published([{"liked": 1}, {"liked": 1}])
    groups = KeptGroups(MessageQuery(group_by=POLL), {})
    for message in (first, second):
        groups.add(message)
    assert groups.remove(first) is Effect.LOST
