"""How many messages a search may read, by what is known of its channel."""

from collections.abc import Sequence
from typing import Any

import pytest

from app.domain.channel import Channel
from app.domain.message import Head
from app.domain.query import parse_query
from app.storage.database import Database
from app.storage.estimates import EstimatedByPlace
from app.storage.history import MessageHistory
from tests.domain.query.strategies import CHANNEL
from tests.storage.stored import Stored

_LENGTH = 20_000


@pytest.fixture
def estimated(stored: Stored) -> EstimatedByPlace:
    """A channel of 20,000 messages, two a millisecond from 1,001 on, without the third quarter."""
    insert = (
        "INSERT INTO messages (channel, sequence, id, client_id, created, data) "
        "SELECT $1, n, md5(n::text)::uuid, 'c', 1000 + (n + 1) / 2, '{}' "
        "FROM generate_series(1, $2::bigint) AS n WHERE NOT n BETWEEN 10001 AND 15000"
    )
    stored.run(stored.database.fetch(insert, CHANNEL.key, _LENGTH))
    head = "INSERT INTO channels (channel, head) VALUES ($1, $2)"
    stored.run(stored.database.fetch(head, CHANNEL.key, _LENGTH))
    return EstimatedByPlace(MessageHistory(stored.database).heads, stored.database)


def where(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


KNOWN: list[Any] = [
    ({}, False, 50),
    ({"offset": 100_000, "limit": 1000}, False, 101_000),
    ({"sortOrder": "DESC", "limit": 10}, False, 10),
    ({"sortField": "created"}, False, 50),
    ({}, True, _LENGTH),
    ({"sortField": "data.score", "limit": 10}, False, _LENGTH),
    ({"groupBy": "data.liked"}, True, _LENGTH),
    ({"filters": [where("data.user", "EQ", 1)]}, False, _LENGTH),
    ({"filters": [where("id", "EQ", "x")]}, False, 1),
    ({"filters": [where("id", "IN", ["x", "y"])]}, True, 2),
    ({"filters": [{"not": where("id", "EQ", "x")}]}, True, _LENGTH),
    ({"filters": [{"or": [where("id", "EQ", "x")]}]}, True, _LENGTH),
]
"""A query, whether all that match is read, and the estimate."""
RANGES: list[Any] = [
    ([where("created", "GTE", 1001)], _LENGTH),
    ([where("created", "GTE", 1002)], _LENGTH - 2),
    ([where("created", "GT", 1001.5)], _LENGTH - 2),
    ([where("created", "LT", 1002)], 2),
    ([where("created", "LTE", 1002)], 4),
    ([where("created", "EQ", 1500)], 2),
    ([where("created", "GT", 1100), where("created", "LTE", 1200)], 200),
    ([{"and": [where("created", "GTE", 11_000)]}], 2),
    ([where("created", "GT", 11_000)], 0),
    ([where("created", "GT", 1e300)], 0),
    ([where("created", "LT", -1e300)], 0),
    ([where("created", "GT", 2000), where("created", "LT", 1500)], 0),
    ([where("created", "NEQ", 1500)], _LENGTH),
]
"""Filters, and how many messages lie in the range of `created` that they leave."""


def test_what_is_known_without_a_look_at_the_messages(
    stored: Stored, estimated: EstimatedByPlace
) -> None:
    for wire, whole, messages in KNOWN:
        query = parse_query(wire)
        assert stored.run(estimated(CHANNEL, query, whole=whole)) == messages, wire


def test_a_range_of_created_is_a_part_of_the_channel(
    stored: Stored, estimated: EstimatedByPlace
) -> None:
    for filters, messages in RANGES:
        query = parse_query({"filters": filters, "groupBy": "data.liked"})
        assert stored.run(estimated(CHANNEL, query, whole=True)) == messages, filters


def test_messages_that_are_gone_count_once(stored: Stored, estimated: EstimatedByPlace) -> None:
    """Places are looked up, not messages: what was deleted may count, what is there always."""
    query = parse_query({"filters": [where("created", "GTE", 5000)]})
    rows = stored.run(stored.database.fetch("SELECT count(*) FROM messages WHERE created >= 5000"))
    there: int = rows[0]["count"]
    assert there <= stored.run(estimated(CHANNEL, query, whole=True)) <= there + 5000


def test_the_length_of_a_channel_is_asked_for_once_in_a_while(stored: Stored) -> None:
    asked: list[Channel] = []

    async def heads(channels: Sequence[Channel]) -> dict[Channel, Head]:
        asked.extend(channels)
        return {channel: Head(7, 0) for channel in channels}

    database: Database = stored.database
    estimated = EstimatedByPlace(heads, database)
    for _ in range(3):
        assert stored.run(estimated(CHANNEL, parse_query({}), whole=True)) == 7
    assert asked == [CHANNEL]
    estimated._known[CHANNEL] = (Head(7, 0), 0.0)
    stored.run(estimated(CHANNEL, parse_query({}), whole=True))
    assert asked == [CHANNEL, CHANNEL]
    for number in range(5000):
        stored.run(estimated(Channel("p", str(number)), parse_query({}), whole=True))
    assert len(estimated._known) == 4096
