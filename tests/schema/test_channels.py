"""`channels` answers with the summaries, a page at a time."""

import pytest

from tests.schema.conftest import Ask

pytestmark = pytest.mark.anyio

PUBLISH = 'mutation ($widget: ID!) { publish(projectId: "p", widgetId: $widget, data: 1) { id } }'
CHANNELS = """
    query ($limit: Int! = 50, $after: ID) {
      channels(projectId: "p", limit: $limit, after: $after) {
        projectId widgetId messages connections lastCreated
      }
    }
"""


async def test_channels_come_a_page_at_a_time(administer: Ask) -> None:
    assert await administer(CHANNELS) == {"data": {"channels": []}}
    for widget in ("one", "two", "one"):
        await administer(PUBLISH, widget=widget)
    found = (await administer(CHANNELS))["data"]["channels"]
    created = {one.pop("widgetId"): one.pop("lastCreated") for one in found}
    assert created.keys() == {"one", "two"}
    assert created["one"] >= created["two"] > 1_700_000_000_000
    assert {"projectId": "p", "messages": 1, "connections": 0} in found
    (first,) = (await administer(CHANNELS, limit=1))["data"]["channels"]
    (second,) = (await administer(CHANNELS, after=first["widgetId"]))["data"]["channels"]
    assert {first["widgetId"], second["widgetId"]} == {"one", "two"}


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"limit": 0}, "BAD_USER_INPUT"),
        ({"limit": 1001}, "BAD_USER_INPUT"),
        ({"after": ""}, "BAD_USER_INPUT"),
        ({"after": "nowhere"}, "UNKNOWN_CURSOR"),
    ],
)
async def test_bad_arguments_are_told(
    administer: Ask, variables: dict[str, object], code: str
) -> None:
    (error,) = (await administer(CHANNELS, **variables))["errors"]
    assert error["extensions"]["code"] == code


async def test_nobody_lists_channels_without_a_token(ask: Ask) -> None:
    (error,) = (await ask(CHANNELS))["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
