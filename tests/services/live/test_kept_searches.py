"""What reads much is read once, and is right for whoever asks again."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.message import Head
from app.domain.query import AggregateFunction, FieldPath, MessageQuery, parse_query
from app.domain.results import AggregateRow, FoundGroup, GroupRow, Page, Tally
from app.services.live import kept_searches
from app.services.live.kept_searches import KeptSearches
from app.services.live.results import LiveResults
from app.storage.result_reads import Dated
from tests.delivery.recorded import CHANNEL, Table, stored, until

pytestmark = pytest.mark.anyio

POLL = MessageQuery(group_by=FieldPath("data"))
DATA = FieldPath("data")


class Service:
    """Searches of one channel, each of whose messages is its own sequence as data."""

    orders_by_code_point = True

    def __init__(self) -> None:
        self.table = Table()
        self.hub = Hub(Bus(MemoryBackend(), "process"), self.table)
        self.reads: list[str] = []
        itself = cast("Any", self)
        self.live = LiveResults(self.hub, self.table, itself, itself, 0.01)
        self.kept = KeptSearches(itself, self.live)

    def asked_by(self, _asker: object) -> "Service":
        return self

    # The reads of kept results.

    async def groups(self, _channel: Channel, _query: MessageQuery, *of_all: Any) -> Any:
        if not of_all:
            self.reads.append("searched")
            return [GroupRow(b"1", self.table.head)]
        self.reads.append("kept")
        *_, head, _most = of_all
        # All messages have the same data.
        group = FoundGroup(stored(1).data, head.sequence, 1, {DATA: Tally()})
        return Dated([group] if head.sequence else [], head.sequence)

    async def count(self, _channel: Channel, _query: MessageQuery, head: Head) -> Dated[int]:
        self.reads.append("kept")
        return Dated(head.sequence, head.sequence)

    async def tally(self, *_: Any) -> Dated[Tally]:
        self.reads.append("kept")
        return Dated(Tally(), 0)

    # What the table answers.

    async def total_count(self, _channel: Channel, _query: MessageQuery) -> int:
        self.reads.append("searched")
        return self.table.head

    async def messages(self, *_: Any) -> list[Any]:
        self.reads.append("searched")
        return []

    async def page_of_messages(self, *_: Any) -> Page[Any]:
        return Page(await self.messages(), has_next=False, has_previous=False)

    async def group_messages(self, *_: Any) -> list[Any]:
        return await self.messages()

    async def check_cursors(self, *_: Any) -> None:
        self.reads.append("searched")

    def publish(self, sequence: int) -> None:
        self.table.head = sequence
        self.hub.publish_stored([stored(sequence)])


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setattr(kept_searches, "_LONG", 3)
    made = Service()
    await made.hub.start()
    for sequence in range(1, 4):
        made.publish(sequence)
    yield made
    made.kept.close()
    await made.hub.stop()


async def test_a_poll_of_a_long_channel_is_read_once(service: Service) -> None:
    for sequence in range(4, 8):
        service.publish(sequence)
        (row,) = await service.kept.groups(CHANNEL, POLL)
        assert row.count == sequence
        assert (await service.kept.page_of_groups(CHANNEL, POLL)).rows == [row]
        assert await service.kept.total_count(CHANNEL, POLL) == 1
    assert service.reads == ["kept"]


async def test_aggregates_are_read_once_too(service: Service) -> None:
    counted = {AggregateFunction.COUNT}
    for _ in range(3):
        assert await service.kept.aggregate(CHANNEL, POLL, DATA, counted) == AggregateRow()
        (row,) = await service.kept.groups(CHANNEL, POLL)
        keys = [row.key_json]
        found = await service.kept.group_aggregates(CHANNEL, POLL, keys, DATA, counted)
        assert found == [AggregateRow()]
    assert service.reads == ["kept"] * 3


async def test_what_another_process_acknowledged_is_in_the_answer(service: Service) -> None:
    await service.kept.groups(CHANNEL, POLL)
    service.table.head = 9  # its events are still on their way
    (row,) = await service.kept.groups(CHANNEL, POLL)
    assert row.count == 9


async def test_a_feed_that_is_behind_is_not_waited_for_long(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.kept.groups(CHANNEL, POLL)
    monkeypatch.setattr(service.hub, "reach", lambda *_: None)
    service.table.head = 9
    (row,) = await service.kept.groups(CHANNEL, POLL)
    assert (row.count, service.reads) == (9, ["kept", "searched"])


async def test_a_short_channel_pages_and_cursors_are_searched(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = service.kept
    await kept.messages(CHANNEL, MessageQuery())
    await kept.page_of_messages(CHANNEL, MessageQuery())
    await kept.group_messages(CHANNEL, POLL, [b"1"], 1)
    await kept.check_cursors(CHANNEL, POLL)
    await kept.total_count(CHANNEL, MessageQuery())
    await kept.total_count(CHANNEL, MessageQuery(after="x"))
    slow = parse_query({"filters": [{"field": "data", "operator": "CONTAINS", "value": "x"}]})
    await kept.total_count(CHANNEL, slow)
    monkeypatch.setattr(kept_searches, "_LONG", 4)
    await kept.groups(CHANNEL, POLL)
    assert set(service.reads) == {"searched"}


async def test_a_search_for_one_value_is_kept_once_it_was_slow(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index serves it, most often: then there is nothing to keep."""
    mine = parse_query({"filters": [{"field": "id", "operator": "EQ", "value": "id 1"}]})
    for _ in range(3):
        await service.kept.total_count(CHANNEL, mine)
    assert service.reads == ["searched"] * 3
    monkeypatch.setattr(kept_searches, "_SLOW_SECONDS", 0.0)
    for _ in range(3):
        await service.kept.total_count(CHANNEL, mine)
    assert service.reads == [*["searched"] * 4, "kept"]


async def test_one_asker_after_another_shares_what_is_kept(service: Service) -> None:
    for asker in ("a", "b"):
        await service.kept.asked_by(asker).groups(CHANNEL, POLL)
    assert service.reads == ["kept"]


async def test_what_nobody_asks_for_any_more_is_let_go(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_searches, "_KEPT_SECONDS", 0.01)
    await service.kept.groups(CHANNEL, POLL)
    await until(lambda: service.live.find(CHANNEL, POLL) is None)
    assert service.live.held_bytes == 0


async def test_as_many_are_kept_as_may_be(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_searches, "_KEPT_MAX", 2)
    queries = [replace(POLL, limit=limit) for limit in (1, 2, 3)]
    for query in queries:
        await service.kept.groups(CHANNEL, query)
    held = [service.live.find(CHANNEL, query) is not None for query in queries]
    assert held == [False, True, True]
