"""Whose ids a log line has: those of the request that the very task works for."""

import asyncio
import logging

import pytest

from app.telemetry.log_context import LogContext, log_context
from app.telemetry.log_fields import facts_of

pytestmark = pytest.mark.anyio


def ids() -> tuple[str, str] | None:
    """What a log line that is written now would have."""
    context = log_context()
    return None if context is None else (context.connection_id, context.request_id)


async def test_a_task_has_the_ids_of_its_request_until_that_is_over() -> None:
    async def work() -> None:
        context = LogContext("ab-1", "r")
        assert ids() == ("ab-1", "r")
        await asyncio.sleep(0)
        assert ids() == ("ab-1", "r")
        context.end()
        assert ids() is None

    await asyncio.gather(work(), work())
    assert ids() is None


async def test_what_a_request_began_for_everybody_does_not_have_its_ids() -> None:
    """A writer is begun by the first publish and serves all later ones: its lines had that id."""
    begun: list[asyncio.Task[tuple[str, str] | None]] = []

    async def serve_everybody() -> tuple[str, str] | None:
        return ids()

    async def work() -> None:
        context = LogContext("ab-1", 7)
        begun.append(asyncio.create_task(serve_everybody()))
        assert await begun[0] is None
        assert ids() == ("ab-1", "ab-1-7")
        context.end()
        begun.append(asyncio.create_task(serve_everybody()))

    await asyncio.create_task(work())
    assert await begun[1] is None


async def test_the_ids_are_facts_of_a_record_and_its_own_come_first() -> None:
    record = logging.LogRecord("app", logging.INFO, "", 0, "text", (), None)
    context = LogContext("ab-1", "r")
    assert facts_of(record) == {"event": "other", "connection_id": "ab-1", "request_id": "r"}
    context.end()
    assert facts_of(record) == {"event": "other"}


def test_a_thread_without_a_loop_works_for_no_request() -> None:
    assert log_context() is None
