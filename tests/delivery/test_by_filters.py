"""Who is concerned by a message is found, and nobody else is asked."""

from hypothesis import given
from hypothesis import strategies as st

from app.delivery.by_filters import ByFilters
from app.domain.message import Message
from app.domain.query import CompiledFilters, parse_filters
from tests.domain.query.strategies import filters, messages
from tests.storage.stored import published


def concerned(by_filters: ByFilters[str], message: Message) -> set[str]:
    candidates = by_filters.candidates(message)
    return {item for each, items in candidates if each.accept(message) for item in items}


@given(st.data())
def test_those_whose_filters_accept_it_are_found(data: st.DataObject) -> None:
    drawn = data.draw(messages())
    held = [CompiledFilters([one]) for one in data.draw(st.lists(filters(drawn), max_size=6))]
    by_filters: ByFilters[str] = ByFilters()
    for number, each in enumerate(held):
        by_filters.add(str(number), each)
    for message in drawn:
        assert concerned(by_filters, message) == {
            str(number) for number, each in enumerate(held) if each.accept(message)
        }


def test_ten_thousand_different_values_are_one_look_up() -> None:
    by_filters: ByFilters[int] = ByFilters()
    mine = []
    for number in range(10_000):
        wire = [{"field": "data.user", "operator": "EQ", "value": number}]
        mine.append(CompiledFilters(parse_filters(wire)))
        by_filters.add(number, mine[number])
    (message,) = published([{"user": 7}])
    assert [items for _, items in by_filters.candidates(message)] == [{7: None}]
    for number, each in enumerate(mine):
        by_filters.remove(number, each)
    assert list(by_filters.candidates(message)) == []
