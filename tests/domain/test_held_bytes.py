"""What a value keeps alive is measured."""

import sys
from collections.abc import Callable

from app.domain.held_bytes import held_bytes


def test_a_value_counts_with_all_that_is_in_it() -> None:
    text = "".join(["x"] * 100_000)
    assert held_bytes([text]) >= 100_000
    assert held_bytes({"key": (text, [text])}) < 102_000, "the same object counts once"


def test_a_closure_counts_with_what_it_holds_and_a_function_costs_nothing() -> None:
    def holding(value: object) -> Callable[[], object]:
        return lambda: value

    assert held_bytes(holding(bytes(50_000))) >= 50_000
    assert held_bytes(held_bytes) == 0


def test_a_circle_has_an_end() -> None:
    circle: list[object] = []
    circle.append(circle)
    assert held_bytes(circle) == sys.getsizeof(circle)
