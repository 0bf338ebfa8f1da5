"""A budget: so many things, and so many bytes of them."""

from app.delivery.budget import Budget, text_size


def test_both_bounds_hold_and_what_is_given_back_is_free_again() -> None:
    budget = Budget(3, 100)
    assert [budget.take(50), budget.take(51), budget.take(50), budget.take(1)] == [
        True,
        False,
        True,
        False,
    ]
    budget.give_back(50)
    assert [budget.take(1), budget.take(1), budget.take(1)] == [True, True, False]
    assert str(budget) == "3 with 52 bytes"


def test_what_is_larger_than_all_the_room_fits_alone() -> None:
    budget = Budget(3, 100)
    assert budget.take(1_000)
    assert not budget.take(1)
    budget.give_back(1_000)
    assert budget.take(1)
    assert not budget.take(1_000)


def test_the_size_of_a_text_does_not_change_when_it_is_encoded() -> None:
    text = "é" * 1_000
    before = text_size(text)
    text.encode()
    assert text_size(text) == before == 4_000
    assert text_size("x" * 1_000) == 1_000
