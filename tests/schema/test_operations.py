"""The root fields: what comes in reaches the services, and what they say comes out."""

import pytest

from tests.schema.conftest import Ask

pytestmark = pytest.mark.anyio

PUBLISH = """
    mutation ($data: JSON!, $clientId: ID, $persistent: Boolean! = true, $id: ID) {
      publish(projectId: "p", widgetId: "w", data: $data, clientId: $clientId,
              persistent: $persistent, id: $id) { id clientId username persistent data }
    }
"""
SEARCH = """
    query ($query: MessageQuery! = {}) {
      messages(projectId: "p", widgetId: "w", query: $query) { totalCount messages { data } }
    }
"""


def code_of(answer: dict[str, list[dict[str, dict[str, str]]]]) -> str:
    (error,) = answer["errors"]
    return error["extensions"]["code"]


async def test_publish_hands_on_every_argument(ask: Ask) -> None:
    answer = await ask(PUBLISH, data={"n": 1}, clientId="me", id="key")
    first = answer["data"]["publish"]
    assert (first["clientId"], first["username"], first["persistent"]) == ("me", None, True)
    assert first["data"] == {"n": 1}
    again = await ask(PUBLISH, data={"n": 2}, clientId="me", id="key")
    assert again["data"]["publish"] == first
    fleeting = await ask(PUBLISH, data=3, persistent=False)
    assert fleeting["data"]["publish"]["persistent"] is False
    assert (await ask(SEARCH))["data"]["messages"]["messages"] == [{"data": {"n": 1}}]


async def test_a_search_takes_the_whole_query(ask: Ask) -> None:
    for number in range(6):
        await ask(PUBLISH, data={"n": number})
    query = {
        "filters": [{"not": {"field": "data.n", "operator": "EQ", "value": 3}}],
        "sortField": "data.n",
        "sortOrder": "DESC",
        "offset": 1,
        "limit": 2,
    }
    answer = await ask(SEARCH, query=query)
    assert answer["data"]["messages"] == {
        "totalCount": 5,
        "messages": [{"data": {"n": 4}}, {"data": {"n": 2}}],
    }


async def test_nobody_is_connected_to_a_channel_that_nobody_subscribes_to(ask: Ask) -> None:
    answer = await ask(
        '{ connectionCount(projectId: "p", widgetId: "w") { projectId widgetId count } }'
    )
    assert answer["data"]["connectionCount"] == {"projectId": "p", "widgetId": "w", "count": 0}


@pytest.mark.parametrize(
    "document",
    [
        'mutation { publish(projectId: "a b", widgetId: "w", data: 1) { id } }',
        '{ messages(projectId: "p", widgetId: "") { totalCount } }',
        '{ messages(projectId: "p", widgetId: "w", query: {limit: -1}) { totalCount } }',
        '{ connectionCount(projectId: "p", widgetId: "é") { count } }',
    ],
)
async def test_a_bad_argument_is_the_callers_mistake(ask: Ask, document: str) -> None:
    assert code_of(await ask(document)) == "BAD_USER_INPUT"
