"""Alive, and ready."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette

from app.transports.health import Health, Probe

pytestmark = pytest.mark.anyio


async def _well() -> str | None:
    return None


async def _ill() -> str | None:
    return "not connected"


async def _hangs() -> str | None:
    return await asyncio.Future()


async def _breaks() -> str | None:
    raise RuntimeError("password=hunter2")


async def _get(path: str, **probes: Probe) -> httpx.Response:
    app = Starlette(routes=Health(probes, timeout_seconds=0.05).routes())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


async def test_live_answers_whatever_the_parts_say() -> None:
    response = await _get("/healthz/live", database=_ill)
    assert (response.status_code, response.json()) == (200, {"status": "live"})


async def test_ready_when_every_part_is_well() -> None:
    response = await _get("/healthz/ready", database=_well, bus=_well)
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"database": "ok", "bus": "ok"}}
    assert response.headers["cache-control"] == "no-store"


async def test_not_ready_names_what_is_wrong_and_no_internals() -> None:
    response = await _get("/healthz/ready", database=_well, bus=_ill, slow=_hangs, broken=_breaks)
    assert response.status_code == 503
    assert response.json() == {
        "status": "not ready",
        "checks": {
            "database": "ok",
            "bus": "not connected",
            "slow": "no answer within 0.05 s",
            "broken": "the check itself failed",
        },
    }


async def test_callers_at_the_same_time_share_a_round_and_one_that_hangs_up_harms_nobody() -> None:
    asked = 0
    begun, answer = asyncio.Event(), asyncio.Event()

    async def counted() -> str | None:
        nonlocal asked
        asked += 1
        begun.set()
        await answer.wait()
        return None

    health = Health({"database": counted}, fresh_seconds=0)
    callers = [asyncio.create_task(health.check()) for _ in range(10)]
    await begun.wait()
    callers[0].cancel()
    answer.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [{"database": None}] * 9
    assert asked == 1
    assert await health.check() == {"database": None}
    assert asked == 2


async def test_who_asks_again_and_again_costs_a_round_in_a_while_only() -> None:
    asked = 0

    async def counted() -> str | None:
        nonlocal asked
        asked += 1
        return None

    health = Health({"database": counted}, fresh_seconds=60)
    for _ in range(100):
        assert await health.check() == {"database": None}
    assert asked == 1


@pytest.mark.parametrize("path", ["/healthz/live", "/healthz/ready"])
async def test_head_is_answered_as_get_is(path: str) -> None:
    app = Starlette(routes=Health({"database": _ill}).routes())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        head, get = await client.head(path), await client.get(path)
    assert head.status_code == get.status_code
