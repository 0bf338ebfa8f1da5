"""Messages before their turn: taken in order, forgotten in time, and never too many."""

from hypothesis import given
from hypothesis import strategies as st

from app.delivery.ahead import Ahead
from app.delivery.budget import Budget
from tests.delivery.recorded import stored


@given(st.lists(st.integers(1, 20), max_size=30), st.integers(0, 20))
def test_what_follows_a_position_is_taken_and_what_is_before_it_is_forgotten(
    came: list[int], position: int
) -> None:
    budget = Budget(100, 100_000)
    ahead = Ahead(budget)
    for sequence in came:
        ahead.add(stored(sequence))
    taken = [message.sequence for message in ahead.take_after(position)]
    expected: list[int] = []
    while position + len(expected) + 1 in came:
        expected.append(position + len(expected) + 1)
    assert taken == expected
    assert len(ahead) == len({one for one in came if one > position + len(taken)})
    ahead.clear()
    assert str(budget) == "0 with 0 bytes"


def test_what_finds_no_room_is_not_kept() -> None:
    ahead = Ahead(Budget(2, 100_000))
    for sequence in (3, 2, 1):
        ahead.add(stored(sequence))
    assert ahead.take_after(0) == []
    assert [message.sequence for message in ahead.take_after(1)] == [2, 3]
