"""The fields of messages, aggregates and pages, each as the schema has it."""

import pytest
from graphql import GraphQLObjectType

from app.domain.channel import Channel
from app.domain.json_value import decode_json, encode_json
from app.domain.message import Message
from app.domain.results import AggregateRow, Page
from app.engine.records import aggregate_values, page_values, records
from app.schema import build_schema

TYPES = build_schema()._schema.type_map
MESSAGE = Message(Channel("p", "w"), 1, "an id", "client", 5, None, b'{"a":1.50}')


def names(type_name: str) -> dict[str, str]:
    """Return all fields of a type, and its name, by keys of their own."""
    type_ = TYPES[type_name]
    assert isinstance(type_, GraphQLObjectType)
    return {f"key_{name}": name for name in (*type_.fields, "__typename")}


def test_every_field_of_the_types_is_known() -> None:
    """One that is not would send every query that selects it through the engine."""
    assert records(tuple(names("Message").items())) is not None
    assert aggregate_values(names("Aggregate")) is not None
    assert page_values(names("PageInfo")) is not None


@pytest.mark.parametrize("name", ["nonsense", ""])
def test_a_field_that_is_not_known_is_left_to_the_engine(name: str) -> None:
    assert records((("key", name),)) is None
    assert aggregate_values({"key": name}) is None
    assert page_values({"key": name}) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"id": "id"}, {"id": "an id"}),
        ({"b": "data", "a": "data"}, {"b": {"a": 1.5}, "a": {"a": 1.5}}),
        (
            {"username": "username", "__typename": "__typename"},
            {"username": None, "__typename": "Message"},
        ),
        ({"persistent": "persistent", "class": "created"}, {"persistent": True, "class": 5}),
    ],
)
def test_a_record_has_its_keys_in_their_order(
    fields: dict[str, str], expected: dict[str, object]
) -> None:
    made = records(tuple(fields.items()))
    assert made is not None
    (text,) = [encode_json(one) for one in made([MESSAGE])]
    found = decode_json(text)
    assert found == expected
    assert isinstance(found, dict)
    assert list(found) == list(expected)


def test_an_aggregate_without_values_has_no_extremes() -> None:
    values = aggregate_values({"min": "min", "max": "max", "count": "count"})
    assert values is not None
    assert values(AggregateRow()) == {"min": None, "max": None, "count": 0}


def test_only_a_page_of_messages_has_cursors() -> None:
    values = page_values({"from": "startCursor", "to": "endCursor", "more": "hasNextPage"})
    assert values is not None
    page = Page([MESSAGE], has_next=True, has_previous=False)
    assert values(page, False) == {"from": "an id", "to": "an id", "more": True}
    assert values(page, True) == {"from": None, "to": None, "more": True}
    empty: Page[Message] = Page([], has_next=False, has_previous=True)
    assert values(empty, False) == {"from": None, "to": None, "more": False}
