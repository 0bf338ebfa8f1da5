"""Variables are bounded before graphql-core sees them, and wrong ones are refused in our words."""

import json
from decimal import Decimal
from typing import Any

import pytest
from graphql import build_schema, type_from_ast
from graphql.language import parse_type

from app.domain.json_bounds import decode_request
from app.engine.errors import RequestRefused
from app.engine.variables import bounded_variables

SCHEMA = build_schema("""
    scalar JSON
    enum Order { ASC DESC }
    input Filter { field: String, order: Order, value: JSON, and: [Filter!], not: Filter, n: Float }
    type Query { a: Int, id: ID }
""")


def bounded(type_: str, value: str, uses: int = 1) -> Any:
    """The value of the variable `$v`, sent as JSON."""
    variables = {"v": decode_request(value)}
    types: Any = {"v": type_from_ast(SCHEMA, parse_type(type_))}
    return bounded_variables(variables, types, {"v": uses})["v"]


def refused(type_: str, value: str, uses: int = 1) -> str:
    """What a client is told."""
    with pytest.raises(RequestRefused) as refusal:
        bounded(type_, value, uses)
    (error,) = refusal.value.errors
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    return str(error["message"])


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("Int!", "10.0", 10),
        ("Float", "1.5", 1.5),
        ("[Int]", "1e1", 10),
        ("[Int]", "[1e1, null]", [10, None]),
        ("JSON", '[1.50, {"a": [{}]}]', [Decimal("1.50"), {"a": [{}]}]),
        ("Filter", '{"n": 2.0, "value": 2.0}', {"n": 2, "value": Decimal("2.0")}),
        ("Filter", '{"and": {"order": "ASC"}}', {"and": {"order": "ASC"}}),
        ("Filter", '{"not": {"and": null}}', {"not": {"and": None}}),
        ("[Filter!]!", "[null, 1]", None),
    ],
)
def test_only_numbers_outside_our_own_scalars_change(
    type_: str, value: str, expected: object
) -> None:
    if expected is None:
        assert refused(type_, value) == "$v[1] is 1; allowed is the type Filter"
    else:
        assert repr(bounded(type_, value)) == repr(expected)


def test_a_value_without_a_variable_is_left_alone() -> None:
    value = {"a": [Decimal("1.5")] * 1_000}
    assert bounded_variables({"w": value}, {}, {}) == {"w": value}


@pytest.mark.parametrize(
    ("type_", "value", "message"),
    [
        ("Filter", '{"and": [{"nor": 1}]}', "$v.and[0] has the key 'nor'; allowed of Filter are"),
        ("Filter", '{"order": "UP"}', "$v.order is 'UP'; allowed of Order are ASC, DESC"),
        ("Order", "[]", "$v is a list of 0; allowed of Order are ASC, DESC"),
        ("Order", "false", "$v is false; allowed of Order"),
        ("Filter", "[]", "$v is a list of 0; allowed is the type Filter"),
        ("Filter", '{"field": {}}', "$v.field is an object; allowed is the type String"),
        ("[ID!]", "[[1]]", "$v[0] is a list of 1; allowed is the type ID"),
    ],
)
def test_what_has_a_wrong_shape_is_named(type_: str, value: str, message: str) -> None:
    assert message in refused(type_, value)


@pytest.mark.parametrize("value", [{"A" * 10**6: 1}, {"order": "A" * 10**6}])
def test_a_long_mistake_is_cut(value: object) -> None:
    """graphql-core quotes both in full."""
    assert len(refused("Filter", json.dumps(value))) < 200


@pytest.mark.parametrize(
    ("type_", "item", "uses", "most"),
    [
        ("[ID!]!", '"id"', 1, 2_000),
        ("[ID!]!", '"id"', 4, 500),
        ("[Filter!]", "{}", 1, 500),
        ("[Filter!]", '{"not": {}}', 1, 250),
        ("[Filter!]", '{"and": [{}, {"field": "a"}]}', 1, 166),
        ("[Filter!]", "{}", 50, 10),
        ("[Int]", "1", 1, 2_000),
        ("[Filter!]", '{"value": [{}, {}, {}]}', 1, 500),
    ],
)
def test_input_objects_and_list_items_are_counted_as_often_as_they_are_used(
    type_: str, item: str, uses: int, most: int
) -> None:
    def of(count: int) -> str:
        return "[" + ",".join([item] * count) + "]"

    assert len(bounded(type_, of(most), uses)) == most
    message = refused(type_, of(most + 1), uses)
    assert f"$v[{most}]" in message
    plain = type_ in ("[ID!]!", "[Int]")
    bound = "2000 list items of text or numbers" if plain else "500 input objects and list items"
    assert f"beyond the {bound} that are allowed" in message


def test_json_that_is_used_more_than_once_is_bounded() -> None:
    wide = "[" + ",".join(["1"] * 20_000) + "]"
    assert len(bounded("JSON", wide)) == 20_000
    assert len(bounded("JSON", wide, 2)) == 20_000
    assert "used 3 times; at most 50000 are allowed" in refused("JSON", wide, 3)
    assert bounded("JSON", '"a,b,c"', 50) == "a,b,c"


@pytest.mark.parametrize(
    ("type_", "value", "told"),
    [
        ("Filter", '{"ordr": "ASC"}', '$v has the key "ordr"; Filter has no such key'),
        ("Filter", '{"order": "UP"}', '$v.order is "UP"; Order has no such value'),
    ],
)
def test_without_introspection_errors_list_no_names(type_: str, value: str, told: str) -> None:
    variables = {"v": decode_request(value)}
    types: Any = {"v": type_from_ast(SCHEMA, parse_type(type_))}
    with pytest.raises(RequestRefused) as refusal:
        bounded_variables(variables, types, {"v": 1}, suggests=False)
    assert [error["message"].replace("'", '"') for error in refusal.value.errors] == [told]
