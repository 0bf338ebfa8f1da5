"""What compiled filters cost: memory as measured, and whether they are light."""

import gc
import tracemalloc
from typing import Any

import pytest

from app.domain.channel import Channel
from app.domain.json_value import encode_json
from app.domain.message import Message
from app.domain.query import EVERY_MESSAGE, CompiledFilters, parse_filters


def compiled(*wire: Any) -> CompiledFilters:
    return CompiledFilters(parse_filters(list(wire)))


def comparison(operator: str, value: Any, field: str = "data.a") -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def message(data: Any) -> Message:
    return Message(Channel("p", "w"), 1, "id", "client", 1000, None, encode_json(data))


def test_all_of_them_must_hold() -> None:
    both = compiled(comparison("GT", 1), comparison("LT", 5))
    assert [both.accept(message({"a": n})) for n in (1, 3, 5)] == [False, True, False]
    assert EVERY_MESSAGE.accept(message(None))


@pytest.mark.parametrize(
    "wire",
    [
        comparison("EQ", 1),
        comparison("NOT_IN", list(range(10**9, 10**9 + 1000))),
        comparison("NOT_IN", ["é" * 10 + str(n) for n in range(1000)]),
        comparison("IN", [{str(n): {}} for n in range(900)]),
        {"or": [comparison("EQ", n) for n in range(64)]},
        {"or": [comparison("EQ", n, "data" + f".{n}" * 31) for n in range(64)]},
        {"not": {"not": {"not": {"not": {"not": {"not": comparison("EXISTS", True)}}}}}},
    ],
)
def test_the_memory_they_hold_is_known(wire: dict[str, Any]) -> None:
    compiled(wire)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    made = [compiled(wire) for _ in range(4)]
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    real = (after - before) / len(made)
    assert 0.7 * real < made[0].held_bytes < 1.4 * real


@pytest.mark.parametrize(
    ("light", "wire"),
    [
        (True, comparison("NOT_IN", [1, "a", None, True])),
        (True, {"or": [comparison("STARTS_WITH", "a")] * 10}),
        (False, {"or": [comparison("STARTS_WITH", "a")] * 11}),
        (False, comparison("CONTAINS", "a")),
        (False, {"not": {"and": [comparison("CONTAINS", 1)]}}),
        (False, comparison("NEQ", [1])),
        (False, comparison("IN", [1, {}])),
    ],
)
def test_what_takes_as_long_as_a_message_is_large_is_not_light(
    light: bool, wire: dict[str, Any]
) -> None:
    assert compiled(wire).light is light


def test_searches_are_counted() -> None:
    assert compiled({"or": [comparison("CONTAINS", "a")] * 3}, comparison("EQ", 1)).searches == 3


def test_the_field_that_must_equal_a_value_is_known() -> None:
    found = compiled(comparison("GT", 1), comparison("EQ", 1)).equality
    assert found == compiled(comparison("EQ", 1.0)).equality
    assert found != compiled(comparison("EQ", True)).equality
    for wire in (comparison("EQ", None), comparison("EQ", [1]), {"not": comparison("EQ", 1)}):
        assert compiled(wire).equality is None
