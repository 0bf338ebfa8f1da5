"""`deleteMessages` hands on its arguments, and refuses what it must."""

from typing import Any

import pytest

from tests.schema.conftest import Ask

pytestmark = pytest.mark.anyio

PUBLISH = 'mutation ($data: JSON!) { publish(projectId: "p", widgetId: "w", data: $data) { id } }'
DELETE = """
    mutation ($widget: ID! = "w", $filters: [MessageFilter!]! = []) {
      deleteMessages(projectId: "p", widgetId: $widget, filters: $filters)
    }
"""
COUNT = '{ messages(projectId: "p", widgetId: "w") { totalCount } }'


async def test_an_administrator_deletes_what_matches_then_all(administer: Ask) -> None:
    for number in range(5):
        await administer(PUBLISH, data=number)
    three = [{"field": "data", "operator": "GTE", "value": 2}]
    assert await administer(DELETE, filters=three) == {"data": {"deleteMessages": 3}}
    assert await administer(COUNT) == {"data": {"messages": {"totalCount": 2}}}
    assert await administer(DELETE) == {"data": {"deleteMessages": 2}}
    assert await administer(DELETE) == {"data": {"deleteMessages": 0}}
    assert await administer(COUNT) == {"data": {"messages": {"totalCount": 0}}}


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"widget": "a b"}, "widgetId is 'a b'"),
        ({"filters": [{}]}, "filters"),
        ({"filters": [{"field": "nonsense", "operator": "EQ", "value": 1}]}, "nonsense"),
        ({"filters": [{"field": "data", "operator": "IN", "value": list(range(1001))}]}, "1001"),
    ],
)
async def test_bad_arguments_delete_nothing(
    administer: Ask, variables: dict[str, Any], text: str
) -> None:
    await administer(PUBLISH, data=1)
    (error,) = (await administer(DELETE, **variables))["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert text in error["message"]
    assert await administer(COUNT) == {"data": {"messages": {"totalCount": 1}}}


async def test_nobody_deletes_without_a_token(ask: Ask) -> None:
    (error,) = (await ask(DELETE))["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert error["message"] == "authentication required: send a token with the permission 'admin'"
