"""A task that must not end begins again, and the log says why."""

import asyncio

import pytest

from app.delivery import supervision
from app.delivery.supervision import keep_running

pytestmark = pytest.mark.anyio


async def test_what_fails_or_ends_begins_again_until_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervision, "AGAIN_SECONDS", 0)
    begun = 0
    third = asyncio.Event()

    async def run() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ZeroDivisionError
        if begun == 3:
            third.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(keep_running("test", run))
    await asyncio.wait_for(third.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun == 3
    assert [record.getMessage() for record in caplog.records] == [
        "the test failed; restarting it",
        "the test ended unexpectedly; restarting it",
    ]
    assert "ZeroDivisionError" in caplog.text
