"""The pulse: events flow because one has come back, not because a task is running."""

import asyncio

import pytest

from app.delivery import pulse as pulse_module
from app.delivery.pulse import Pulse

pytestmark = pytest.mark.anyio


class Way:
    """A way round that can be broken."""

    def __init__(self, interval_seconds: float = 0.02, stale_seconds: float = 0.2) -> None:
        self.broken = False
        self.pulse = Pulse(
            self._send, interval_seconds=interval_seconds, stale_seconds=stale_seconds
        )

    def _send(self, number: int) -> bool:
        if not self.broken:
            asyncio.get_running_loop().call_soon(self.pulse.came, number)
        return not self.broken


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse_module, "_PATIENCE_SECONDS", 0.1)


async def test_it_is_well_while_echoes_come_back_and_says_when_the_last_one_did() -> None:
    way = Way()
    beating = asyncio.create_task(way.pulse.beat_forever())
    # Asked before there was time for an echo: it is waited for.
    assert await way.pulse.trouble() is None
    way.broken = True
    await asyncio.sleep(0.25)
    trouble = await way.pulse.trouble()
    assert trouble == "the last event came back from the bus 0 s ago; expected every 0.02 s"
    way.broken = False
    assert await way.pulse.trouble() is None
    beating.cancel()


async def test_a_way_that_never_worked_is_said_to_be_one() -> None:
    way = Way()
    way.broken = True
    beating = asyncio.create_task(way.pulse.beat_forever())
    await asyncio.sleep(0)
    trouble = await way.pulse.trouble()
    assert trouble is not None
    assert trouble.startswith("no event has come back from the bus since the start 0 s ago")
    beating.cancel()


async def test_an_echo_that_was_never_sent_proves_nothing() -> None:
    way = Way()
    for number in (-1, 0, 1, 2):
        way.pulse.came(number)
    assert await way.pulse.trouble() is not None


async def test_the_lag_is_how_long_the_last_one_took_and_grows_while_one_is_missing() -> None:
    loop = asyncio.get_running_loop()
    sent: list[int] = []

    def send(number: int) -> bool:
        sent.append(number)
        return True

    pulse = Pulse(send, interval_seconds=0.02, stale_seconds=1)
    assert pulse.lag_seconds == 0
    beating = asyncio.create_task(pulse.beat_forever())
    began = loop.time()
    while len(sent) < 4:  # noqa: ASYNC110  it beats by the clock
        await asyncio.sleep(0.005)
    assert 0.05 < pulse.lag_seconds <= loop.time() - began, "none has come back"
    pulse.came(4)
    lag = pulse.lag_seconds
    assert 0.05 < lag <= loop.time() - began
    beating.cancel()
    await asyncio.sleep(0.05)
    assert pulse.lag_seconds == lag, "nothing is on its way"
