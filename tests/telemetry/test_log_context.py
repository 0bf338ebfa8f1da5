"""Whose ids a log line has: those of the request that the very task works for."""

import asyncio
import logging

import pytest

from app.telemetry.log_context import WORKING, NumberedRequest, log_context
from app.telemetry.log_fields import facts_of

pytestmark = pytest.mark.anyio


async def ids() -> tuple[str, str] | None:
    """Return what a log line that is written now would have."""
    asked = log_context()
    return None if asked is None else (asked.connection_id, asked.request_id)


async def test_what_a_request_began_for_everybody_does_not_have_its_ids() -> None:
    """A writer is begun by the first publish and serves all later ones: its lines had that id."""

    async def work() -> None:
        await asyncio.sleep(0)
        assert await ids() == ("ab-1", "ab-1-7")
        assert await asyncio.create_task(ids()) is None

    task = asyncio.create_task(work())
    WORKING[task] = NumberedRequest("ab-1", 7)
    task.add_done_callback(WORKING.pop)
    await task
    assert await ids() is None
    assert not WORKING


async def test_the_ids_are_facts_of_a_record() -> None:
    record = logging.LogRecord("app", logging.INFO, "", 0, "text", (), None)
    task = asyncio.current_task()
    assert task is not None
    WORKING[task] = NumberedRequest("ab-1", 2)
    facts = facts_of(record)
    del WORKING[task]
    assert facts == {"event": "other", "connection_id": "ab-1", "request_id": "ab-1-2"}
    assert facts_of(record) == {"event": "other"}


def test_a_thread_without_a_loop_works_for_no_request() -> None:
    assert log_context() is None
