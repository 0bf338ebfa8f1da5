"""Reads that were made answer again, failures included."""

from collections.abc import Hashable
from typing import Any

import pytest

from app.domain.query import FieldPath, MessageQuery
from app.domain.results import AggregateRow, GroupRow, Page
from app.engine.replayed import Replayed
from app.errors import Unavailable
from tests.engine.known_search import CHANNEL, FOUND, Known

pytestmark = pytest.mark.anyio

FIELD = FieldPath("data", ("a",))
QUERY = MessageQuery()
ROW = AggregateRow(5)
GROUPS = [GroupRow(b"1", 2)]


async def test_each_read_is_answered_as_it_was() -> None:
    known = Known()
    found: dict[Hashable, Any] = {
        "messages": FOUND,
        "page_of_messages": Page(FOUND, has_next=True, has_previous=True),
        "total_count": 3,
        "groups": GROUPS,
        "page_of_groups": Page(GROUPS, has_next=False, has_previous=False),
        ("group_messages", 5): [FOUND],
        ("aggregate", FIELD): ROW,
        ("group_aggregates", FIELD): [ROW],
    }
    search = Replayed(known, found)
    assert await search.messages(CHANNEL, QUERY) is FOUND
    assert (await search.page_of_messages(CHANNEL, QUERY)).has_next
    assert await search.total_count(CHANNEL, QUERY) == 3
    assert await search.groups(CHANNEL, QUERY) is GROUPS
    assert not (await search.page_of_groups(CHANNEL, QUERY)).has_next
    assert await search.group_messages(CHANNEL, QUERY, [b"1"], 5) == [FOUND]
    assert await search.aggregate(CHANNEL, QUERY, FIELD) is ROW
    assert await search.group_aggregates(CHANNEL, QUERY, [b"1"], FIELD) == [ROW]
    assert known.asked == []


async def test_a_failure_is_raised_again() -> None:
    search = Replayed(Known(), {"messages": Unavailable("away")})
    for _ in range(2):
        with pytest.raises(Unavailable):
            await search.messages(CHANNEL, QUERY)


async def test_cursors_are_checked_by_who_was_asked() -> None:
    known = Known()
    await Replayed(known, {}).check_cursors(CHANNEL, QUERY)
    assert known.asked == [("cursors", CHANNEL, QUERY)]
