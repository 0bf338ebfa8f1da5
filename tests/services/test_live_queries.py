"""Live queries: a change is told of once in a while, and the last one always."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from broadcaster import Broadcast

from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.query import parse_query
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import DeliveryFailed, Forbidden
from app.services.live_queries import LiveQueryService
from tests.delivery.recorded import CHANNEL, Table, stored, transient

pytestmark = pytest.mark.anyio

VIEWER = Viewer(None, DEFAULT_PERMISSIONS)
EVERYTHING = parse_query({})


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    made = Hub(Bus(Broadcast("memory://"), "process"), Table())
    await made.start()
    yield made
    await made.stop()


async def nothing_comes(changes: asyncio.Task[None]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(changes), 0.1)


async def test_now_and_after_each_change(hub: Hub) -> None:
    changes = await LiveQueryService(hub, 0.01).watch(VIEWER, CHANNEL, EVERYTHING)
    await anext(changes)
    waiting = asyncio.ensure_future(anext(changes))
    await nothing_comes(waiting)
    hub.publish_transient(transient())
    await nothing_comes(waiting)
    hub.publish_stored([stored(1)])
    await waiting
    await changes.aclose()


async def test_a_burst_is_told_of_within_the_interval_and_at_its_end(hub: Hub) -> None:
    interval = 0.1
    changes = await LiveQueryService(hub, interval).watch(VIEWER, CHANNEL, EVERYTHING)
    loop = asyncio.get_running_loop()
    await anext(changes)
    told_at = [loop.time()]
    for sequence in range(1, 4):
        hub.publish_stored([stored(sequence)])
    await anext(changes)
    told_at.append(loop.time())
    # One during the pause that follows must not be forgotten.
    hub.publish_stored([stored(4)])
    await anext(changes)
    told_at.append(loop.time())
    assert told_at[1] - told_at[0] >= interval * 0.9
    assert told_at[2] - told_at[1] >= interval * 0.9
    await changes.aclose()


async def test_what_its_filters_refuse_changes_nothing(hub: Hub) -> None:
    wanted = parse_query({"filters": [{"field": "id", "operator": "EQ", "value": "id 2"}]})
    changes = await LiveQueryService(hub, 0.01).watch(VIEWER, CHANNEL, wanted)
    await anext(changes)
    waiting = asyncio.ensure_future(anext(changes))
    hub.publish_stored([stored(1)])
    await nothing_comes(waiting)
    hub.publish_stored([stored(2)])
    await waiting
    await changes.aclose()


async def test_closing_ends_a_wait_and_tells_once(hub: Hub) -> None:
    told: list[int] = []
    changes = await LiveQueryService(hub).watch(
        VIEWER, CHANNEL, EVERYTHING, on_closed=lambda: told.append(1)
    )
    await anext(changes)

    async def rest() -> int:
        return len([None async for _ in changes])

    waiting = asyncio.create_task(rest())
    await asyncio.sleep(0)
    await changes.aclose()
    await changes.aclose()
    assert await waiting == 0
    assert told == [1]


async def test_one_that_cannot_look_at_a_message_ends_with_an_error(hub: Hub) -> None:
    changes = await LiveQueryService(hub, 0.01).watch(VIEWER, CHANNEL, EVERYTHING)
    await anext(changes)
    waiting = asyncio.ensure_future(anext(changes))
    await nothing_comes(waiting)

    def fails(_message: object) -> bool:
        raise ZeroDivisionError

    changes._tests = [fails]
    hub.publish_stored([stored(1)])
    with pytest.raises(DeliveryFailed):
        await waiting


@pytest.mark.parametrize("permission", [Permission.SEARCH, Permission.SUBSCRIBE])
async def test_it_takes_both_rights(hub: Hub, permission: Permission) -> None:
    half = Viewer("anna", frozenset({permission}))
    with pytest.raises(Forbidden):
        await LiveQueryService(hub).watch(half, CHANNEL, EVERYTHING)


async def test_a_result_that_could_not_be_read_is_read_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read failed while the database was away; at rest nobody was ever told the result."""
    monkeypatch.setattr("app.services.live_queries._AGAIN_SECONDS", 0.15)
    changes = await LiveQueryService(hub, 0.01).watch(VIEWER, CHANNEL, EVERYTHING)
    await anext(changes)
    changes.look_again()
    waiting = asyncio.ensure_future(anext(changes))
    await nothing_comes(waiting)
    await waiting
    await changes.aclose()
