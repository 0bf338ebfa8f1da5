"""A recorded event that is published again: its order, its rhythm, its names."""

import io
import json
import time
from collections.abc import Iterator

import pytest

from app.config import Settings
from app.domain.channel import Channel
from app.domain.query import MessageQuery
from app.errors import ConfigurationError, DatabaseUnreachable
from app.process.moving.reading import Line, read_lines
from app.process.moving.replaying import recording_of, replay
from app.storage.database import Database
from app.storage.search import MessageSearch

pytestmark = pytest.mark.anyio


def lines(*records: dict[str, object]) -> Iterator[Line]:
    text = b"".join(json.dumps({"client_id": "c"} | one).encode() + b"\n" for one in records)
    return read_lines(io.BytesIO(text), "jsonl", 1024)


async def test_channels_are_replayed_together_in_the_order_and_rhythm_of_time(
    database: Database, database_url: str
) -> None:
    recording = recording_of(
        lines(
            {"widget_id": "a", "created": 1_000, "data": 1, "username": "Zoé"},
            {"widget_id": "a", "created": 61_000, "data": 3},
            {"widget_id": "b", "created": 31_000, "data": 2, "idempotency_key": "k"},
        ),
        None,
    )
    assert [widget for widget, _ in recording] == ["a", "b", "a"]
    published: list[int] = []
    began = time.monotonic()
    settings = Settings(database_url=database_url)
    for _ in range(2):  # the key is no obstacle
        await replay(settings, "t", recording, speed=200, published=published.append)
    assert time.monotonic() - began >= 0.6
    assert sum(published) == 6
    search = MessageSearch(database)
    found = await search.messages(Channel("t", "a"), MessageQuery())
    assert [(one.data_json, one.username) for one in found[:2]] == [(b"1", "Zoé"), (b"3", None)]
    assert 200 <= found[1].created - found[0].created < 10_000
    assert await search.total_count(Channel("t", "b"), MessageQuery()) == 2


def test_what_is_no_recording_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="line 1: created is -1"):
        recording_of(lines({"created": -1, "data": 1}), "a")
    with pytest.raises(ConfigurationError, match="line 1: it has no widget_id"):
        recording_of(lines({"created": 1, "data": 1}), None)


async def test_a_database_that_is_away_is_said() -> None:
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnreachable):
        await replay(settings, "t", [], speed=1, published=lambda _count: None)
