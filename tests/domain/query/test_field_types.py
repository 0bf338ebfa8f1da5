"""A field whose type is known is compared with that type; a path below data with anything."""

import re
from decimal import Decimal

import pytest

from app.domain.query.filter_parser import parse_filter
from app.domain.query.operators import Operator
from app.errors import BadUserInput

_ID = "01890000-0000-7000-8000-000000000000"
_CREATED = "created is a number, milliseconds since the Unix epoch;"
_USERNAME = "username is a string, or null for an anonymous client; expected"


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [
        ("created", "GTE", 1_700_000_000_000),
        ("created", "LT", Decimal("1.5")),
        ("created", "NOT_IN", [1, 2]),
        ("created", "IN", []),
        ("username", "EQ", None),
        ("username", "NOT_IN", ["zoe", None]),
        ("username", "STARTS_WITH", "z"),
        ("client_id", "CONTAINS", "a"),
        ("id", "GT", _ID),
        *(
            ("data.created", operator, value)
            for operator in ("EQ", "GT")
            for value in ("a", 1, True)
        ),
        *((field, "EXISTS", True) for field in ("id", "clientId", "created", "username", "data")),
    ],
)
def test_what_a_field_can_be_is_taken(field: str, operator: str, value: object) -> None:
    parse_filter({"field": field, "operator": operator, "value": value})


@pytest.mark.parametrize(
    ("field", "operator", "value", "message"),
    [
        ("created", "GT", "2026-01-01", f"f.value is '2026-01-01'; {_CREATED} expected a number"),
        ("created", "EQ", None, f"f.value is null; {_CREATED} expected a number"),
        ("created", "NEQ", True, f"f.value is true; {_CREATED} expected a number"),
        ("created", "EQ", [1], f"f.value is a list of 1; {_CREATED} expected a number"),
        ("created", "IN", [1, "2"], f"f.value[1] is '2'; {_CREATED} expected a number"),
        *(
            (
                "created",
                operator,
                "1",
                f"f.operator is {operator}; {_CREATED} allowed: EQ, NEQ, GT, GTE, LT, LTE, "
                "IN, NOT_IN, EXISTS",
            )
            for operator in ("CONTAINS", "STARTS_WITH", "ENDS_WITH")
        ),
        ("clientId", "EQ", 7, "f.value is 7; client_id is a string; expected a string"),
        ("client_id", "EQ", None, "f.value is null; client_id is a string; expected a string"),
        ("id", "NOT_IN", [_ID, {}], "f.value[1] is an object; id is a string; expected a string"),
        ("username", "GT", False, f"f.value is false; {_USERNAME} a string"),
        ("username", "EQ", 7, f"f.value is 7; {_USERNAME} a string or null"),
        ("username", "CONTAINS", None, f"f.value is null; {_USERNAME} a string"),
    ],
)
def test_what_a_field_cannot_be_is_refused(
    field: str, operator: str, value: object, message: str
) -> None:
    with pytest.raises(BadUserInput, match="^" + re.escape(message) + "$"):
        parse_filter({"field": field, "operator": operator, "value": value}, "f")


def test_each_operator_is_taken_or_refused_for_each_field() -> None:
    for field in ("id", "client_id", "created", "username"):
        for operator in Operator:
            wire = {"field": field, "operator": operator, "value": {"never": "right"}}
            with pytest.raises(BadUserInput, match=r"^filters\[0\]\.(value|operator) is "):
                parse_filter(wire)
