"""Filters that may take long leave the loop to others."""

import asyncio
import time

import pytest

from app.delivery.matching_turns import MatchingTurns
from app.domain.message import Message
from app.domain.query import CompiledFilters
from tests.delivery.recorded import stored
from tests.turns import Turns

pytestmark = pytest.mark.anyio


class Slow(CompiledFilters):
    """Filters that take 4 ms of CPU time."""

    def accept(self, message: Message) -> bool:
        done_at = time.thread_time() + 0.004
        while time.thread_time() < done_at:
            pass
        return message.sequence == 1


async def test_it_tells_what_the_filters_say() -> None:
    turns = MatchingTurns()
    assert await turns.accept(Slow(), stored(1))
    assert not await turns.accept(Slow(), stored(2))


async def test_many_who_ask_at_once_hold_the_loop_for_a_moment_each() -> None:
    turns = MatchingTurns()
    with Turns() as measured:
        await asyncio.gather(*(turns.accept(Slow(), stored(1)) for _ in range(50)))
    assert measured.longest_seconds < 0.05


async def test_a_filter_that_breaks_leaves_the_turn_to_the_next() -> None:
    class Broken(CompiledFilters):
        def accept(self, message: Message) -> bool:
            raise ZeroDivisionError(message)

    turns = MatchingTurns()
    with pytest.raises(ZeroDivisionError):
        await turns.accept(Broken(), stored(1))
    assert await turns.accept(Slow(), stored(1))
