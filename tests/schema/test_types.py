"""The object types: fields of a search, read from the database only when they are asked for."""

from typing import Any

import pytest
from graphql import GraphQLObjectType

from app.domain.message import MESSAGE_FIELDS
from app.schema import build_schema
from tests.schema.conftest import Ask

pytestmark = pytest.mark.anyio

PUBLISH = """
    mutation ($data: JSON!) { publish(projectId: "p", widgetId: "w", data: $data) { id } }
"""
VOTES = [
    {"liked": True, "score": 70},
    {"liked": True, "score": 91.5},
    {"liked": False, "score": 55},
    {"liked": None},
]


def test_a_message_has_the_fields_that_the_table_of_fields_names() -> None:
    """A field that only one of them knows fails where a response is made without the engine."""
    message = build_schema()._schema.type_map["Message"]
    assert isinstance(message, GraphQLObjectType)
    assert message.fields.keys() == {field.graphql for field in MESSAGE_FIELDS}


async def found(ask: Ask, selection: str, query: str = "{}") -> Any:
    """Return what a search of the votes finds."""
    for vote in VOTES:
        await ask(PUBLISH, data=vote)
    document = f'{{ messages(projectId: "p", widgetId: "w", query: {query}) {{ {selection} }} }}'
    answer = await ask(document)
    assert "errors" not in answer, answer
    return answer["data"]["messages"]


async def test_a_message_has_all_of_its_record(ask: Ask) -> None:
    result = await found(ask, "messages { id clientId created username persistent data }")
    assert [one["data"] for one in result["messages"]] == VOTES
    first = result["messages"][0]
    assert len(first["id"]) == len(first["clientId"]) == 36
    assert first["created"] > 1_700_000_000_000
    assert (first["username"], first["persistent"]) == (None, True)


async def test_groups_have_their_key_their_aggregates_and_their_messages(ask: Ask) -> None:
    result = await found(
        ask,
        """totalCount messages { id } groups {
             key count aggregate(field: "data.score") { count distinct sum avg min max }
             messages(limit: 1) { data }
           }""",
        '{groupBy: "data.liked"}',
    )
    assert result["messages"] == []
    liked = next(group for group in result["groups"] if group["key"] is True)
    assert liked == {
        "key": True,
        "count": 2,
        "aggregate": {
            "count": 2,
            "distinct": 2,
            "sum": 161.5,
            "avg": 80.75,
            "min": 70,
            "max": 91.5,
        },
        "messages": [{"data": VOTES[0]}],
    }
    assert [group["count"] for group in result["groups"]] == [2, 1, 1]


async def test_the_aggregate_of_a_field_that_is_nowhere_is_nothing(ask: Ask) -> None:
    selection = 'aggregate(field: "data.nothing") { count distinct sum avg min max } groups { key }'
    assert await found(ask, selection) == {
        "aggregate": {
            "count": 0,
            "distinct": 0,
            "sum": None,
            "avg": None,
            "min": None,
            "max": None,
        },
        "groups": [],
    }


async def test_two_aggregates_of_one_search_do_not_mix(ask: Ask) -> None:
    fields = ("score", "liked")
    selection = " ".join(f'{one}: aggregate(field: "data.{one}") {{ max }}' for one in fields)
    result = await found(ask, selection)
    assert result == {"score": {"max": 91.5}, "liked": {"max": True}}


async def test_groups_are_sorted_by_an_aggregate_and_paged(ask: Ask) -> None:
    selection = "groups { key } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
    query = '{groupBy: "data.liked", sortField: "max(data.score)", limit: 2}'
    result = await found(ask, selection, query)
    assert result == {
        "groups": [{"key": True}, {"key": False}],
        "pageInfo": {
            "hasNextPage": True,
            "hasPreviousPage": False,
            "startCursor": None,
            "endCursor": None,
        },
    }


async def test_a_chat_loads_older_messages_page_by_page(ask: Ask) -> None:
    selection = """
        totalCount messages { id data }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    """
    newest = await found(ask, selection, "{sortOrder: DESC, limit: 3}")
    assert [one["data"] for one in newest["messages"]] == VOTES[:0:-1]
    first, last = newest["messages"][0]["id"], newest["messages"][-1]["id"]
    info = newest["pageInfo"]
    assert (newest["totalCount"], info["startCursor"], info["endCursor"]) == (4, first, last)
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
    # The four votes that this one publishes do not shift the page.
    older = await found(ask, selection, f'{{sortOrder: DESC, limit: 3, before: "{last}"}}')
    assert [one["data"] for one in older["messages"]] == VOTES[:1]
    info = older["pageInfo"]
    assert (older["totalCount"], info["hasNextPage"], info["hasPreviousPage"]) == (1, False, True)
    newer = await found(ask, selection, f'{{after: "{first}", before: "{first}"}}')
    assert newer["pageInfo"]["startCursor"] is newer["pageInfo"]["endCursor"] is None
    assert (newer["totalCount"], newer["messages"]) == (0, [])
