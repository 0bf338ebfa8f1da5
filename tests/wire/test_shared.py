"""What the connections of one server share, and those of another do not."""

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.wire.shared import Shared

pytestmark = pytest.mark.anyio


def config() -> uvicorn.Config:
    return uvicorn.Config("none:app", log_config=None)


class Visited:
    """Counts the visits of its heartbeats."""

    def __init__(self) -> None:
        self.visits: list[int] = []

    def visit(self, silent_visits_allowed: int) -> None:
        self.visits.append(silent_visits_allowed)


async def test_the_connections_of_one_server_share_one_turn_and_another_server_s_do_not() -> None:
    state, other = ServerState(), ServerState()
    shared = Shared.of(state, config())
    assert Shared.of(state, config()) is shared
    assert Shared.of(other, config()) is not shared
    assert Shared.of(other, config()).turn is not shared.turn


async def test_there_is_one_timer_for_each_interval_and_three_silent_beats_are_allowed() -> None:
    shared = Shared.of(ServerState(), config())
    beats, visited = shared.beats(0.5), Visited()
    assert shared.beats(0.5) is beats
    assert shared.beats(1.0) is not beats
    slot = beats.add(visited)
    for _ in range(20):
        beats._tick()
    assert visited.visits == [3]
    slot.discard(visited)
    assert beats._timer is not None
    beats._timer.cancel()
