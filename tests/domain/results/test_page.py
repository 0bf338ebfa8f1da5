"""A page that messages come to and go from is the model's."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.domain.message import Message
from app.domain.query import FieldPath, MessageQuery
from app.domain.results import Effect, KeptPage
from tests.domain.query import reference
from tests.domain.query.strategies import queries
from tests.domain.results.changes import changes, drawn_messages, steps
from tests.storage.stored import published, sequences


def whole(query: MessageQuery) -> MessageQuery:
    return replace(query, filters=(), offset=0, limit=10_000)


@given(st.data())
def test_messages_that_come_and_go_leave_the_page_of_the_model(data: st.DataObject) -> None:
    drawn = data.draw(drawn_messages)
    query = data.draw(queries(drawn, grouped=False))
    query = replace(query, filters=(), after=None, before=None)
    query = replace(query, limit=min(query.limit, 5))
    page = KeptPage(query)
    page.room = query.offset + query.limit + data.draw(st.integers(1, 3))
    before: list[Message] = []
    for effect, there in steps(data.draw(changes(drawn)), page.add, page.remove):
        in_order = reference.page(there, whole(query))
        if effect is Effect.LOST:
            page.fill(in_order[: page.room + 1])
        first = in_order[: query.offset + query.limit + 1]
        assert sequences(page.first(query.offset + query.limit + 1)) == sequences(first)
        if effect is Effect.NOTHING:
            assert first == before
        before = first
        assert page.size == sum(700 + 2 * len(one.data_json) for one in page.first(10_000))


def test_a_message_behind_the_last_known_one_is_not_taken() -> None:
    drawn = published([{"n": n} for n in range(40)])
    page = KeptPage(MessageQuery(limit=5))
    page.fill(drawn[: page.room + 1])
    assert page.add(drawn[30]) is Effect.NOTHING
    assert sequences(page.first(5)) == [1, 2, 3, 4, 5]


def test_a_page_that_runs_out_is_to_be_read_again() -> None:
    drawn = published([{"n": n} for n in range(40)])
    query = MessageQuery(limit=5, sort_field=FieldPath("data", ("n",)))
    page = KeptPage(query)
    page.fill(drawn[: page.room + 1])
    effects = [page.remove(message) for message in drawn[: page.room - 5]]
    assert effects.pop() is Effect.LOST
    assert set(effects) == {Effect.CHANGED}
