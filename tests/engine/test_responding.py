"""Events are answered without what only began the subscription."""

from graphql import OperationDefinitionNode, build_schema, parse, print_ast

from app.engine.responding import Responding

SCHEMA = build_schema("""
    type Query { hello: String }
    type Item { name(short: Boolean): String }
    type Subscription { items(room: ID!, filters: [String!], after: ID): Item }
""")


def responding(text: str) -> Responding:
    document = parse(text)
    definition = document.definitions[0]
    assert isinstance(definition, OperationDefinitionNode)
    assert SCHEMA.subscription_type is not None
    return Responding.of(document, definition, SCHEMA.subscription_type)


def test_arguments_that_may_be_left_out_are_and_their_variables_with_them() -> None:
    found = responding(
        "subscription ($r: ID!, $f: [String!], $s: Boolean) "
        "{ items(room: $r, filters: $f, after: null) { name(short: $s) } }"
    )
    assert found.variables == {"r", "s"}
    assert found.needed({"r": 1, "f": ["large"]}) == {"r": 1}
    text = print_ast(found.document)
    assert "filters" not in text
    assert "after" not in text
    assert "items(room: $r)" in text


def test_a_root_field_in_a_fragment_loses_them_too_and_other_fragments_stay() -> None:
    found = responding(
        "subscription ($f: [String!]) { ...root } "
        'fragment root on Subscription { items(room: "a", filters: $f) { ...item } } '
        "fragment item on Item { name }"
    )
    assert found.variables == frozenset()
    text = print_ast(found.document)
    assert "fragment root" not in text
    assert "fragment item on Item" in text
    assert "filters" not in text
