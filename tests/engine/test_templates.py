"""Values of a document, as the JSON that they stand for."""

from decimal import Decimal
from typing import Any

import pytest
from graphql import parse_value

from app.engine.templates import ABSENT, template


def value(text: str, **variables: Any) -> Any:
    written = template(parse_value(text))
    assert written is not None, "the engine has to coerce it"
    return written(variables)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("null", None),
        ("true", True),
        ('"a\\u00e9"', "aé"),
        ('"""\n  a\n  b\n"""', "a\nb"),
        ("-12", -12),
        ("1.50", Decimal("1.50")),
        ("1e5", Decimal("1E+5")),
        ("DESC", "DESC"),
        ("[1, [2], {a: 3}]", [1, [2], {"a": 3}]),
        ("{limit: 5, filters: []}", {"limit": 5, "filters": []}),
        ('{value: {a: [null, "b"]}}', {"value": {"a": [None, "b"]}}),
    ],
)
def test_a_constant_is_its_json(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_a_variable_is_what_came() -> None:
    assert value("$x", x=[1]) == [1]
    assert value("$x", x=None) is None
    assert value("$x") is ABSENT
    assert value("[{limit: $x, value: $y}]", x=1, y={"a": 2}) == [{"limit": 1, "value": {"a": 2}}]


def test_a_field_whose_variable_has_no_value_is_absent() -> None:
    assert value("{limit: $x, offset: 1}") == {"offset": 1}


@pytest.mark.parametrize(
    "text",
    ["[$x]", "{value: [$x]}", "{value: {a: $x}}", "1234567890123456789", "0.00000000000000001"],
)
def test_what_has_to_be_coerced_is_left_to_the_engine(text: str) -> None:
    assert template(parse_value(text)) is None
