"""Which subscriptions are alike."""

from typing import Any

import pytest

from app.engine.documents import Documents
from app.schema import build_schema

DOCUMENTS = Documents(build_schema())
RESUMING = (
    "subscription ($w: ID!, $after: ID, $last: Int, $f: [MessageFilter!]!) "
    '{ messages(projectId: "p", widgetId: $w, after: $after, last: $last, filters: $f) { id } }'
)
FILTERS = [{"field": "data.to", "operator": "EQ", "value": "ann"}]


def key(document: str, **variables: Any) -> object:
    sharing = DOCUMENTS.document(document).operation().sharing
    assert sharing is not None
    return sharing.key(variables)


def test_where_a_subscription_begins_does_not_set_it_apart() -> None:
    live = key(RESUMING, w="w", f=FILTERS)
    assert key(RESUMING, w="w", f=FILTERS, after="x") == live
    assert key(RESUMING, w="w", f=FILTERS, after="y", last=5) == live


@pytest.mark.parametrize("changed", [{"w": "v"}, {"f": []}, {"f": [*FILTERS, *FILTERS]}])
def test_another_channel_or_filter_does(changed: dict[str, Any]) -> None:
    variables = {"w": "w", "f": FILTERS, **changed}
    assert key(RESUMING, **variables) != key(RESUMING, w="w", f=FILTERS)


def test_another_selection_does() -> None:
    assert key(RESUMING.replace("{ id }", "{ data }"), w="w", f=[]) != key(RESUMING, w="w", f=[])


def test_a_cursor_that_is_also_something_else_does() -> None:
    """A cursor used as the widget's id too once put two channels into one group."""
    document = 'subscription ($x: ID!) { messages(projectId: "p", widgetId: $x, after: $x) { id } }'
    assert key(document, x="a") != key(document, x="b")


@pytest.mark.parametrize(
    "document",
    [
        'subscription { liveMessages(projectId: "p", widgetId: "%s") { totalCount } }',
        'subscription { connectionCount(projectId: "p", widgetId: "%s") { count } }',
    ],
)
def test_results_and_counts_are_shared_as_messages_are(document: str) -> None:
    assert key(document % "w") == key(document % "w")
    assert key(document % "w") != key(document % "v")


def test_a_query_shares_nothing() -> None:
    assert DOCUMENTS.document("{ __typename }").operation().sharing is None
