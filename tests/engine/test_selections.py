"""What a selection comes to."""

from typing import cast

import pytest
from graphql import FieldNode, FragmentDefinitionNode, OperationDefinitionNode, parse

from app.engine.selections import response_key, selected


def names(document: str) -> dict[str, list[str]] | None:
    """Return the names of the fields below the root, by their keys."""
    first, *fragments = parse(document).definitions
    root = cast("FieldNode", cast("OperationDefinitionNode", first).selection_set.selections[0])
    by_name = {one.name.value: one for one in cast("list[FragmentDefinitionNode]", fragments)}
    found = selected([root], by_name)
    if found is None:
        return None
    return {key: [one.name.value for one in nodes] for key, nodes in found.items()}


def test_fields_keep_their_order_and_fields_of_one_key_are_one() -> None:
    assert names("{ root { b a c: b a } }") == {"b": ["b"], "a": ["a", "a"], "c": ["b"]}


def test_fragments_are_spread_where_they_stand_and_once() -> None:
    document = "{ root { a ...F ... { d } ...F } } fragment F on T { b ...G } fragment G on T { c }"
    assert names(document) == {"a": ["a"], "b": ["b"], "c": ["c"], "d": ["d"]}


@pytest.mark.parametrize(
    "document",
    [
        "{ root { a @skip(if: true) } }",
        "{ root { ... @include(if: true) { a } } }",
        "{ root { ...F @skip(if: true) } } fragment F on T { a }",
        "{ root { ...F } } fragment F on T { a @skip(if: true) }",
        "{ root { ...F } } fragment F on T @own { a }",
    ],
)
def test_a_directive_is_the_engine_s_business(document: str) -> None:
    assert names(document) is None


def test_the_key_is_the_alias_or_the_name() -> None:
    (first,) = parse("{ alias: name }").definitions
    node = cast("OperationDefinitionNode", first).selection_set.selections[0]
    assert response_key(cast("FieldNode", node)) == "alias"
