"""One timer visits every connection once an interval, and stops when there is none."""

import asyncio

import pytest

from app.wire.keepalive import Keepalive, Pinged

pytestmark = pytest.mark.anyio


class Visited:
    def __init__(self) -> None:
        self.visits: asyncio.Queue[tuple[float, int]] = asyncio.Queue()

    def visit(self, silent_visits_allowed: int) -> None:
        now = asyncio.get_running_loop().time()
        self.visits.put_nowait((now, silent_visits_allowed))


async def test_each_connection_is_visited_once_an_interval_not_before_half_of_one() -> None:
    loop = asyncio.get_running_loop()
    keepalive, began = Keepalive(loop, 0.2, 0.3), loop.time()
    connections = [Visited() for _ in range(50)]
    slots = [keepalive.add(connection) for connection in connections]
    for connection in connections:
        first, allowed = await connection.visits.get()
        second, _ = await connection.visits.get()
        assert first - began > 0.09
        assert second - first > 0.15
        assert allowed == 2
    for slot, connection in zip(slots, connections, strict=True):
        slot.discard(connection)
    assert not any(slots)


async def test_without_an_interval_nobody_is_visited() -> None:
    keepalive = Keepalive(asyncio.get_running_loop(), None, None)
    slot: set[Pinged] = keepalive.add(Visited())
    assert not slot
