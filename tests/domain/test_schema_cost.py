"""What a schema may cost: known from its text, however it is wound."""

from decimal import Decimal
from typing import Any

import pytest

from app.domain.schema_cost import SchemaCost, pointer_of
from app.errors import BadUserInput


def checks(schema: dict[str, Any]) -> int:
    """Return how many keywords are looked at for one place of the data, at the most."""
    return SchemaCost(schema).highest(weighted=False)


def test_where_only_one_of_several_can_apply_the_dearest_counts() -> None:
    assert checks({"properties": {"a": {"type": "string", "minLength": 1}, "b": {}}}) == 2
    assert checks({"prefixItems": [{"type": "string"}, {"minimum": 1, "maximum": 2}]}) == 2
    assert checks({"properties": {"a": {"minimum": 1}}, "items": {"minimum": 1}}) == 2


def test_what_applies_together_is_summed_up() -> None:
    assert checks({"allOf": [{"minimum": 1}, {"maximum": 2}]}) == 3
    assert checks({"patternProperties": {"a": {"minimum": 1}, "b": {"maximum": 1}}}) == 2
    both = {"items": {"type": "string"}, "contains": {"const": 1}, "unevaluatedItems": {"not": {}}}
    assert checks({"items": both["items"], "contains": both["contains"]}) == 2
    assert checks({"if": {"type": "string"}, "then": {"minLength": 1}, "else": True}) == 5
    assert checks({"dependentSchemas": {"a": {"minProperties": 2}, "b": {"maxProperties": 1}}}) == 3


def test_references_that_recur_once_cost_no_more_than_one_level() -> None:
    tree = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "n": {"minimum": 0}}}
    assert checks(tree) == 2  # at one place: a reference, and the properties it leads to
    assert checks({"$ref": "#top", "$defs": {"a": {"$anchor": "top", "items": {}}}}) == 4
    assert checks({"items": {"$ref": "#"}, "minItems": 1, "maxItems": 9}) == 4


def test_what_doubles_at_each_level_of_the_data_is_seen() -> None:
    """As many checks as 2 to the power of the data's depth."""
    doubling = {"allOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}
    assert checks(doubling) == 10**9


def test_what_doubles_at_one_place_is_seen() -> None:
    chain: dict[str, Any] = {
        f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(30)
    }
    assert checks({"$ref": "#/$defs/a0", "$defs": chain | {"a30": {"type": "string"}}}) == 10**9


def test_what_is_evaluated_again_for_what_is_left_is_seen() -> None:
    schema: dict[str, Any] = {"properties": {"a": True}}
    for _ in range(20):
        schema = {"unevaluatedProperties": {"type": "integer"}, "anyOf": [schema, {"required": []}]}
    assert checks(schema) == 10**9


def test_dear_checks_count_more() -> None:
    def cost(schema: dict[str, Any]) -> int:
        return SchemaCost(schema).highest()

    assert cost({"pattern": "a"}) > 1000
    assert cost({"multipleOf": Decimal("0.01")}) < cost({"multipleOf": Decimal("1e-300")}) / 3
    assert cost({"enum": [*range(100)]}) > 4000
    assert cost({"enum": [str(i) for i in range(100)]}) < 200
    assert cost({"type": "object", "properties": {"a": {"type": "string"}}}) < 10


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "#"}, "is applied recursively without end"),
        ({"allOf": [{"not": {"$ref": "#"}}]}, "is applied recursively without end"),
        (
            {
                "$ref": "#/$defs/0",
                "$defs": {f"{i}": {"$ref": f"#/$defs/{i + 1}"} for i in range(150)} | {"150": {}},
            },
            "is applied through too many references; at most 100 nested subschemas",
        ),
        ({"$ref": "https://example.com/x"}, "has the reference 'https://example.com/x'; only"),
        (
            {"$ref": "file:///etc/passwd"},
            "only references within the schema are allowed; they begin with #",
        ),
        ({"items": {"$ref": "other.json#/a"}}, "only references within the schema"),
        ({"$ref": "#/$defs/missing"}, r"'#/\$defs/missing', which points to no schema"),
        ({"$ref": "#nowhere"}, "which points to no schema"),
        ({"$ref": "#/allOf/7", "allOf": [{}]}, "which points to no schema"),
        ({"$ref": "#/$comment/x", "$comment": "x"}, "which points to no schema"),
        ({"$ref": 5}, "has the reference 5; only references within"),
        ({"$dynamicRef": "#a"}, r"its root has \$dynamicRef; use \$ref for references"),
        (
            {"items": {"$id": "https://example.com"}},
            r"at /items has \$id; \$id is only allowed at the root",
        ),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#"},
            r"has \$schema 'http://json-schema",
        ),
        ({"$schema": 7}, r"\$schema 7; expected https://json-schema.org/draft/2020-12/schema"),
        ({"anyOf": [{} for _ in range(2001)]}, "too many subschemas; at most 2000 are allowed"),
    ],
)
def test_what_is_not_allowed_is_named(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(BadUserInput, match=why):
        SchemaCost(schema).highest()


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": 1, "properties": [1], "not": "x", "patternProperties": None, "enum": {}},
        {"type": ["integer", 3], "required": "a", "prefixItems": {}, "items": [{}]},
    ],
)
def test_what_is_no_schema_is_looked_through_all_the_same(schema: dict[str, Any]) -> None:
    SchemaCost(schema).highest()


def test_references_follow_escapes() -> None:
    schema = {"$ref": "#/$defs/a~1b%20c~0", "$defs": {"a/b c~": {"type": "string"}}}
    assert checks(schema) == 3


def test_pointers_escape_what_they_must() -> None:
    assert pointer_of([]) == ""
    assert pointer_of(["a/b", 0, "c~"]) == "/a~1b/0/c~0"
