"""When a connection loses its viewer's rights."""

import asyncio
import time
from collections.abc import Callable

import pytest

from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.transports import expiry
from app.transports.auth.claims import LEEWAY_SECONDS
from app.transports.expiry import Expiry
from tests.transports.clock import Clock

pytestmark = pytest.mark.anyio

_DAY_SECONDS = 86_400.0


def _viewer(expires_at: float | None) -> Viewer:
    return Viewer("anna", DEFAULT_PERMISSIONS, expires_at=expires_at)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def _kept() -> list[object]:
    return list(expiry._Ends.here()._waiting)


async def test_it_calls_back_once_when_the_token_ends() -> None:
    ended = asyncio.Event()
    Expiry(_viewer(time.time() + 0.02), ended.set)
    async with asyncio.timeout(10):
        await ended.wait()
    assert expiry._Ends.here()._timer is None


async def test_a_token_without_an_end_sets_no_timer() -> None:
    one = Expiry(_viewer(None), lambda: None)
    assert not one.waits
    one.cancel()
    assert not _kept()


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
    clock: Clock,
) -> None:
    """GraphQL sockets and streams took their longest timer, a day, for the end of the token."""
    ended = asyncio.Event()
    Expiry(_viewer(clock.time() + 30 * _DAY_SECONDS), ended.set)
    clock.moved = 29 * _DAY_SECONDS
    await clock.looked_at()
    assert not ended.is_set()
    clock.moved = 31 * _DAY_SECONDS
    async with asyncio.timeout(10):
        await ended.wait()


async def test_the_clock_is_read_again_within_5_seconds() -> None:
    """It was read every 60 s: whoever moved the clock gave a kicked token a minute more."""
    assert 0 < expiry._LONGEST_WAIT_SECONDS < 5
    one = Expiry(_viewer(time.time() + 3600), lambda: None)
    timer = expiry._Ends.here()._timer
    assert timer is not None
    assert timer.when() - asyncio.get_running_loop().time() < 5
    one.cancel()


async def test_a_clock_that_is_set_back_gives_the_time_back(clock: Clock) -> None:
    ended = asyncio.Event()
    Expiry(_viewer(clock.time() + 10), ended.set)
    clock.moved = -3600
    await clock.looked_at()
    assert not ended.is_set()
    clock.moved = 11
    async with asyncio.timeout(10):
        await ended.wait()


async def test_a_token_that_is_in_its_leeway_already_ends_with_the_leeway(clock: Clock) -> None:
    """Else a client that comes back with the same token is closed and accepted in turns."""
    ended = asyncio.Event()
    Expiry(_viewer(clock.time() - 10), ended.set)
    clock.moved = LEEWAY_SECONDS - 11
    await clock.looked_at()
    assert not ended.is_set()
    clock.moved = LEEWAY_SECONDS - 9
    async with asyncio.timeout(10):
        await ended.wait()


async def test_one_that_ends_sooner_than_all_others_is_not_late() -> None:
    ended = asyncio.Event()
    others = [Expiry(_viewer(time.time() + 3600), lambda: None) for _ in range(3)]
    Expiry(_viewer(time.time() + 0.02), ended.set)
    async with asyncio.timeout(2):
        await ended.wait()
    for one in others:
        one.cancel()


async def test_thousands_end_together_without_holding_up_the_loop() -> None:
    ends_at = time.time() + 0.02
    left = 500
    most_at_once = at_once = 0
    over = asyncio.Event()

    def ended() -> None:
        nonlocal left, at_once
        left -= 1
        at_once += 1
        if not left:
            over.set()
        if left == 250:
            raise RuntimeError("one that breaks keeps no other one")

    for _ in range(left):
        Expiry(_viewer(ends_at), ended)
    async with asyncio.timeout(10):
        while not over.is_set():
            at_once = 0
            await asyncio.sleep(0)
            most_at_once = max(most_at_once, at_once)
    assert most_at_once <= 50


async def test_connections_that_come_and_go_are_not_kept() -> None:
    """Each kept its place until its token's end, an hour later."""
    stays = Expiry(_viewer(time.time() + 3600), lambda: None)
    for _ in range(10_000):
        Expiry(_viewer(time.time() + 3600), lambda: None).cancel()
    assert len(_kept()) < 2_500
    assert stays.waits
    stays.cancel()


@pytest.mark.parametrize("calls", [1, 2])
async def test_it_may_cancel_itself_or_begin_another_one(calls: int) -> None:
    seen: list[int] = []
    over = asyncio.Event()

    def begin(number: int) -> Callable[[], None]:
        def ended() -> None:
            seen.append(number)
            one.cancel()
            if number < calls:
                begin(number + 1)
            else:
                over.set()

        one = Expiry(_viewer(time.time() + 0.01), ended)
        return ended

    begin(1)
    async with asyncio.timeout(10):
        await over.wait()
    assert seen == list(range(1, calls + 1))


async def test_a_token_that_ended_since_it_was_accepted_has_no_leeway() -> None:
    ended = asyncio.Event()
    now = time.time()
    Expiry(_viewer(now - 1), ended.set, accepted_at=now - 2)
    async with asyncio.timeout(10):
        await ended.wait()
