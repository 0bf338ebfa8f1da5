"""The query language in memory; that Postgres agrees is shown in tests/storage."""

from typing import Any

import pytest

from app.domain.channel import Channel
from app.domain.json_value import encode_json
from app.domain.message import Message
from app.domain.query import And, Not, Or, compile_filter, matches, parse_filter

_DATA = {
    "text": "Hello",
    "score": 60,
    "ratio": 1.50,
    "liked": True,
    "nothing": None,
    "tags": ["a", "b", 3],
    "user": {"name": "Zoë", "age": 7},
    "0": "zero",
}
_MESSAGE = Message(Channel("p", "w"), 1, "id", "client", 1000, None, encode_json(_DATA))


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [
        ("data.text", "EQ", "Hello"),
        ("data.text", "NEQ", "hello"),
        ("data.text", "CONTAINS", "ell"),
        ("data.text", "STARTS_WITH", "He"),
        ("data.text", "ENDS_WITH", ""),
        ("data.text", "LT", "a"),
        ("data.score", "GT", 55),
        ("data.score", "GTE", 60.0),
        ("data.ratio", "EQ", 1.5),
        ("data.liked", "EQ", True),
        ("data.liked", "GT", False),
        ("data.nothing", "EQ", None),
        ("data.nothing", "EXISTS", True),
        ("data.tags", "CONTAINS", "a"),
        ("data.tags", "CONTAINS", 3.0),
        ("data.tags", "EQ", ["a", "b", 3]),
        ("data.tags.-1", "EQ", 3),
        ("data.user", "EQ", {"age": 7, "name": "Zoë"}),
        ("data.user.name", "IN", ["Zoë", 1]),
        ("data.0", "EQ", "zero"),
        ("data.missing", "EXISTS", False),
        ("data.missing", "NEQ", None),
        ("data.missing", "NOT_IN", [None]),
        ("data.text.0", "EXISTS", False),
        ("data.tags.3", "EXISTS", False),
        ("username", "EQ", None),
        ("username", "EXISTS", True),
        ("clientId", "EQ", "client"),
        ("created", "LTE", 1000),
        ("id", "EQ", "id"),
    ],
)
def test_a_comparison_holds_and_its_negation_does_not(
    field: str, operator: str, value: Any
) -> None:
    comparison = {"field": field, "operator": operator, "value": value}
    assert matches(_MESSAGE, parse_filter(comparison))
    assert not matches(_MESSAGE, parse_filter({"not": comparison}))


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [
        ("data.score", "GT", "55"),
        ("data.score", "EQ", "60"),
        ("data.score", "CONTAINS", 6),
        ("data.score", "STARTS_WITH", "6"),
        ("data.liked", "EQ", 1),
        ("data.liked", "GTE", 0),
        ("data.liked", "IN", [1, "true"]),
        ("data.nothing", "EXISTS", False),
        ("data.nothing", "LT", 1),
        ("data.tags", "CONTAINS", "ab"),
        ("data.tags", "CONTAINS", ["a"]),
        ("data.user", "CONTAINS", "name"),
        ("data.missing", "EQ", None),
        ("data.missing", "IN", [None]),
        ("data.missing", "LT", 1),
        ("username", "CONTAINS", ""),
    ],
)
def test_values_of_different_types_never_compare(field: str, operator: str, value: Any) -> None:
    assert not matches(
        _MESSAGE, parse_filter({"field": field, "operator": operator, "value": value})
    )


def test_combinators_of_nothing_are_what_logic_has_them_be() -> None:
    assert matches(_MESSAGE, And(()))
    assert not matches(_MESSAGE, Or(()))
    assert matches(_MESSAGE, Not(Or(())))


def test_combinators_combine() -> None:
    yes, no = And(()), Or(())
    assert compile_filter(And((yes, yes)))(_MESSAGE)
    assert not compile_filter(And((yes, no)))(_MESSAGE)
    assert compile_filter(Or((no, yes)))(_MESSAGE)
    assert not compile_filter(Or((no, no)))(_MESSAGE)
    assert not compile_filter(Not(And((yes,))))(_MESSAGE)


def test_data_is_not_decoded_for_a_filter_that_does_not_look_into_it() -> None:
    unreadable = Message(Channel("p", "w"), 1, "id", "client", 1000, None, b"not JSON")
    assert matches(
        unreadable, parse_filter({"field": "clientId", "operator": "EQ", "value": "client"})
    )
