"""When a connection loses its viewer's rights."""

import asyncio
import time

import pytest

from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.transports import expiry
from app.transports.expiry import Expiry

pytestmark = pytest.mark.anyio

_DAY_SECONDS = 86_400.0


def _viewer(expires_at: float | None) -> Viewer:
    return Viewer("anna", DEFAULT_PERMISSIONS, expires_at=expires_at)


async def test_it_calls_back_once_when_the_token_ends() -> None:
    ended = asyncio.Event()
    Expiry(_viewer(time.time() + 0.02), ended.set)
    async with asyncio.timeout(10):
        await ended.wait()


async def test_a_token_without_an_end_sets_no_timer() -> None:
    assert Expiry(_viewer(None), lambda: None)._timer is None


async def test_nothing_is_called_after_a_cancel() -> None:
    calls: list[str] = []
    one = Expiry(_viewer(time.time() + 0.02), lambda: calls.append("cancelled"))
    later = asyncio.Event()
    one.cancel()
    one.cancel()
    Expiry(_viewer(time.time() + 0.04), later.set)
    async with asyncio.timeout(10):
        await later.wait()
    assert not calls


async def test_a_token_of_30_days_lasts_30_days_and_ends_when_the_clock_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GraphQL sockets and streams took their longest timer, a day, for the end of the token."""
    moved = 0.0
    real = time.time
    looks = asyncio.Queue[float]()

    def clock() -> float:
        looks.put_nowait(moved)
        return real() + moved

    ended = asyncio.Event()
    monkeypatch.setattr(expiry, "_LONGEST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(time, "time", clock)
    Expiry(_viewer(real() + 30 * _DAY_SECONDS), ended.set)
    async with asyncio.timeout(10):
        moved = 29 * _DAY_SECONDS
        while await looks.get() != moved:
            pass
        assert await looks.get() == moved
        assert not ended.is_set()
        moved = 31 * _DAY_SECONDS
        await ended.wait()
