"""The memory of open filters: counted once for equal ones, given back once."""

import gc
import tracemalloc
from typing import Any

import pytest

from app.domain.query import EVERY_MESSAGE, Filter, parse_filters
from app.errors import BadUserInput, RateLimited, Unavailable
from app.services.open_filters import ConnectionFilters, FilterLimits, OpenFilters
from app.telemetry.counters import COUNTED


def numbers(first: int) -> tuple[Filter, ...]:
    values = list(range(first, first + 1_000))
    return parse_filters([{"field": "data.a", "operator": "NOT_IN", "value": values}])


ONE_LIST = ConnectionFilters(OpenFilters()).open(numbers(4 * 10**9))[0].held_bytes


def test_equal_filters_are_held_once_whoever_uses_them() -> None:
    process = OpenFilters()
    one, other = ConnectionFilters(process), ConnectionFilters(process)
    opened = [each.open(numbers(0)) for each in (one, one, other)]
    assert len({id(compiled) for compiled, _ in opened}) == 1
    assert process.held_bytes == opened[0][0].held_bytes

    for _, give_back in opened[:2]:
        give_back()
        give_back()
        assert process.held_bytes == opened[0][0].held_bytes
    other.close()
    opened[2][1]()
    other.close()
    assert process.held_bytes == 0


def test_no_filters_cost_nothing() -> None:
    process = OpenFilters(FilterLimits(0, 0))
    compiled, give_back = ConnectionFilters(process).open(())
    give_back()
    assert compiled is EVERY_MESSAGE


def test_a_connection_has_a_bound_of_its_own_and_others_are_not_concerned() -> None:
    process = OpenFilters(FilterLimits(bytes_per_connection=2 * ONE_LIST + 1_000))
    one, other = ConnectionFilters(process), ConnectionFilters(process)
    _, give_back = one.open(numbers(4 * 10**9))
    one.open(numbers(2 * 10**9))
    refused = COUNTED.refusals["limit"]
    with pytest.raises(RateLimited, match=r"^the filters of this connection's subscriptions take"):
        one.open(numbers(3 * 10**9))
    assert COUNTED.refusals["limit"] == refused + 1
    one.open(numbers(2 * 10**9))  # in use already
    other.open(numbers(3 * 10**9))
    give_back()
    one.open(numbers(3 * 10**9))


def test_the_process_has_a_bound() -> None:
    process = OpenFilters(FilterLimits(bytes_per_process=2 * ONE_LIST + 1_000))
    connections = [ConnectionFilters(process) for _ in range(3)]
    connections[0].open(numbers(4 * 10**9))
    connections[1].open(numbers(2 * 10**9))
    with pytest.raises(Unavailable, match=r"retry later, or use filters with fewer values$"):
        connections[2].open(numbers(3 * 10**9))
    connections[2].open(numbers(4 * 10**9))
    connections[1].close()
    connections[2].open(numbers(3 * 10**9))


def test_what_is_refused_is_charged_nothing() -> None:
    process = OpenFilters(FilterLimits(bytes_per_connection=0))
    connection = ConnectionFilters(process)
    with pytest.raises(RateLimited):
        connection.open(numbers(0))
    assert process.held_bytes == 0


def test_searches_of_one_subscription_are_bounded() -> None:
    wire = {"field": "data", "operator": "CONTAINS", "value": "a"}
    connection = ConnectionFilters(OpenFilters())
    connection.open(parse_filters([wire] * 20))
    with pytest.raises(
        BadUserInput,
        match=r"^query.filters: 21 comparisons with CONTAINS came, at most 20 are allowed",
    ):
        connection.open(parse_filters([{"or": [wire] * 21}]), "query.filters")


@pytest.mark.parametrize(
    "wire",
    [
        {"field": "data", "operator": "IN", "value": [{str(n): {}} for n in range(999)]},
        {
            "and": [
                {"field": "data" + ".1234567" * 31, "operator": "EQ", "value": [n] * 28}
                for n in range(64)
            ]
        },
    ],
)
def test_the_largest_filters_of_one_subscription_are_within_a_connection_s_bound(
    wire: dict[str, Any],
) -> None:
    ConnectionFilters(OpenFilters()).open(parse_filters([wire]))


def test_as_many_as_are_allowed_hold_what_the_bound_says() -> None:
    """Thirty subscriptions of a hundred such lists once took 1.7 GiB."""
    process = OpenFilters(FilterLimits(bytes_per_process=2 * 1024 * 1024))
    gc.collect()
    tracemalloc.start()
    refused = 0
    connections = []
    for n in range(50):
        connections.append(ConnectionFilters(process))
        try:
            connections[-1].open(numbers(n * 10**6))
        except Unavailable:
            refused += 1
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused > 0
    assert held < 1.3 * 2 * 1024 * 1024
