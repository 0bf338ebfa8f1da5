"""What `widgetwire import` stores, what it tells of, and that it can be started again."""

import io
import json
import time

import pytest

from app.domain.channel import Channel
from app.domain.query import MessageQuery
from app.process.moving import importing
from app.process.moving.importing import Importing
from app.process.moving.reading import Line, read_lines
from app.storage.database import Database
from app.storage.search import MessageSearch

pytestmark = pytest.mark.anyio

A = Channel("p", "a")


class Import:
    """An import of some lines, and what it told."""

    def __init__(self, url: str, *, skip_bad: bool = False, widget: str | None = None) -> None:
        self.bad: list[tuple[int, str]] = []
        self.bytes = 0
        self.importing = Importing(
            url,
            "p",
            widget,
            skip_bad=skip_bad,
            bad=lambda number, why: self.bad.append((number, why)),
            went_on=self._went_on,
        )

    def _went_on(self, size: int) -> None:
        self.bytes += size

    async def store(self, *lines: object) -> bool:
        text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return await self.importing.store(read_lines(io.BytesIO(text), "jsonl", 1024))


def line(number: int, **fields: object) -> dict[str, object]:
    return {"widget_id": "a", "client_id": "c", "created": number, "data": number} | fields


async def stored(database: Database) -> list[bytes]:
    found = await MessageSearch(database).messages(A, MessageQuery(limit=1000))
    return [message.data_json for message in found]


async def test_more_than_a_batch_is_stored_in_order_and_again_it_is_known(
    database: Database, database_url: str
) -> None:
    lines = [line(number) for number in range(5_010)]
    one = Import(database_url)
    assert await one.store(*lines)
    assert one.importing.told.stored == 5_010
    assert one.bytes == sum(len(json.dumps(one)) + 1 for one in lines)
    assert await MessageSearch(database).total_count(A, MessageQuery()) == 5_010
    again = Import(database_url)
    assert await again.store(*lines, line(6_000))
    assert (again.importing.told.stored, again.importing.told.known) == (1, 5_010)


async def test_a_bad_line_ends_it_and_what_came_before_stays(
    database: Database, database_url: str
) -> None:
    one = Import(database_url)
    assert not await one.store(line(5), {"data": 1}, line(6))
    assert [number for number, _ in one.bad] == [2]
    assert await stored(database) == [b"5"]


async def test_bad_lines_are_left_out_where_that_is_asked_for(
    database: Database, database_url: str
) -> None:
    one = Import(database_url, skip_bad=True)
    tomorrow = int(time.time() * 1000) + 86_400_000
    assert await one.store(
        line(5), {"data": 1}, line(4), line(tomorrow), line(6, widget_id=None), line(7)
    )
    assert [number for number, _ in one.bad] == [2, 3, 4, 5]
    words = [why for _, why in one.bad]
    assert "time never runs backwards" in words[1]
    assert "in the future" in words[2]
    assert "--widget names none" in words[3]
    assert await stored(database) == [b"5", b"7"]
    assert one.importing.told.refused == 4


async def test_all_may_go_into_one_widget(database: Database, database_url: str) -> None:
    assert await Import(database_url, widget="a").store(
        line(5, widget_id="b"), line(6, widget_id=None)
    )
    assert await stored(database) == [b"5", b"6"]


def test_a_batch_of_long_lines_is_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """5,000 messages of 1 MiB did not fit into memory."""
    monkeypatch.setattr(importing, "_BATCH_BYTES", 100)
    lines = iter([Line(number, None, "bad", 40) for number in range(7)])
    assert [len(importing._batch(lines)) for _ in range(4)] == [3, 3, 1, 0]
