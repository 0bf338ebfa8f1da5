"""The results of a channel follow its feed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.query import EVERY_MESSAGE, MessageQuery
from app.services.live import channel_results
from app.services.live.channel_results import ChannelResults
from app.storage.head_looks import HeadLooks
from tests.delivery.recorded import CHANNEL, Table, stored
from tests.services.live.test_shared_result import Heard

pytestmark = pytest.mark.anyio


class Place:
    """A channel's results and what they are made of."""

    def __init__(self) -> None:
        self.table = Table()
        self.hub = Hub(Bus(MemoryBackend(), "process"), self.table)
        self.ended = 0
        nobody = cast("Any", None)
        self.results = ChannelResults(
            self.hub,
            HeadLooks(self.table),
            nobody,
            nobody,
            CHANNEL,
            asyncio.Semaphore(1),
            lambda _more: True,
            self.end,
        )

    def end(self, _results: ChannelResults) -> None:
        self.ended += 1


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    await made.hub.start()
    yield made
    await made.hub.stop()


async def test_equal_queries_have_one_result_until_the_last_lets_go(place: Place) -> None:
    result = place.results.result(MessageQuery(), EVERY_MESSAGE)
    result.hold()
    assert place.results.result(MessageQuery(), EVERY_MESSAGE) is result
    assert place.results.find(MessageQuery(limit=1)) is None
    result.release()
    assert place.results.find(MessageQuery()) is None
    assert place.ended == 1


async def test_no_more_are_kept_than_a_message_can_be_applied_to(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_results, "_ALIKE_MAX", 2)
    results = [place.results.result(MessageQuery(limit=n), EVERY_MESSAGE) for n in (1, 2, 3)]
    for result in results:
        result.hold()
    assert [result.kept._keeps for result in results] == [True, True, False]
    for result in results[:2]:
        result.release()
    assert place.results.result(MessageQuery(limit=4), EVERY_MESSAGE).kept._keeps


async def test_it_waits_for_what_the_table_has(place: Place) -> None:
    await place.results.open()
    place.table.head = 2
    assert await place.results.reach(2)
    assert place.results.position == 2
    assert not await place.results.reach(3, seconds=0.01)


async def test_one_that_fails_is_let_go_and_the_others_are_not(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    broken = place.results.result(MessageQuery(), EVERY_MESSAGE)
    other = place.results.result(MessageQuery(limit=1), EVERY_MESSAGE)
    one, another = Heard(), Heard()
    broken.listen(one)
    other.listen(another)

    def fails(_message: object, _gone_at: object) -> bool:
        raise ValueError("a defect")

    def changes(_message: object, _gone_at: object) -> bool:
        return True

    broken.kept.apply = fails  # type: ignore[method-assign,assignment]
    other.kept.apply = changes  # type: ignore[method-assign,assignment]
    place.results.deliver([stored(1)])
    assert (one.heard, another.heard) == (["drop"], ["change"])
    assert "a message failed in 1 live results" in caplog.text


async def test_what_feeds_it_no_more_lets_all_go(place: Place) -> None:
    listener = Heard()
    place.results.result(MessageQuery(), EVERY_MESSAGE).listen(listener)
    await place.results.open()
    place.results.restarted(7)
    assert place.results.position == 7
    place.results.dropped()
    assert listener.heard == ["begin_again", "drop"]
    assert place.ended == 1
