"""Group commit by itself: who is told what. With a database: `test_writer.py`."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from app.errors import RateLimited, Unavailable
from app.storage.group_commit import GroupCommit, Pending
from app.telemetry import slow
from app.telemetry.log_fields import facts_of
from app.telemetry.logs import LogThrottle
from tests.storage.waiting_room import draft

pytestmark = pytest.mark.anyio


class Lengths(GroupCommit[int]):
    """Stores how long data is; refuses what is empty, breaks where it is `!`."""

    def __init__(self, **options: Any) -> None:
        no_database: Any = None
        super().__init__(no_database, **options)
        self.batches: list[int] = []
        self.lengths: list[int] = []

    async def store(
        self, batch: Sequence[Pending[int]], *, again: bool
    ) -> "Sequence[int | Exception]":
        self.batches.append(-len(batch) if again else len(batch))
        await asyncio.sleep(0)
        if any(pending.draft.data_json == b"!" for pending in batch):
            raise ZeroDivisionError
        return [
            len(pending.draft.data_json) or RateLimited("nothing is not stored")
            for pending in batch
        ]

    def committed(self, outcomes: Sequence[int]) -> None:
        self.lengths.extend(outcomes)


async def test_each_writer_is_told_its_own_outcome() -> None:
    lengths = Lengths(batch_max=3)
    texts = (b"a", b"", b"ccc", b"dddd", b"eeeee")
    outcomes = await asyncio.gather(
        *(lengths.write(draft(text)) for text in texts), return_exceptions=True
    )
    assert [outcomes[0], *outcomes[2:]] == [1, 3, 4, 5]
    assert isinstance(outcomes[1], RateLimited)
    assert lengths.lengths == [1, 3, 4, 5]
    assert lengths.batches == [3, 2]


async def test_a_batch_that_took_long_is_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "_throttle", LogThrottle(others="others"))
    for slow_seconds in (0, 10, 1e-9):
        lengths = Lengths(slow_seconds=slow_seconds)
        await asyncio.gather(*(lengths.write(draft(text)) for text in (b"a", b"bb")))
    (record,) = caplog.records
    assert facts_of(record).items() >= {"event": "commit.slow", "messages": 2}.items()


async def test_one_that_breaks_a_batch_fails_alone() -> None:
    lengths = Lengths()
    outcomes = await asyncio.gather(
        *(lengths.write(draft(text)) for text in (b"a", b"!", b"cc")), return_exceptions=True
    )
    assert (outcomes[0], outcomes[2]) == (1, 2)
    assert isinstance(outcomes[1], ZeroDivisionError)
    # Singly, as what an earlier try may have stored.
    assert lengths.batches == [3, -1, -1, -1]


async def test_more_than_may_wait_are_refused() -> None:
    lengths = Lengths(queue_max=2)
    outcomes = await asyncio.gather(
        *(lengths.write(draft()) for _ in range(3)), return_exceptions=True
    )
    assert outcomes[:2] == [1, 1]
    assert isinstance(outcomes[2], Unavailable)
    await lengths.close()
    with pytest.raises(Unavailable):
        await lengths.write(draft())
