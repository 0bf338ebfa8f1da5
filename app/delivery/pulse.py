"""The pulse: whether events flow, by observation.

A process sends itself an event, round through the broker, the same way as all others. While it
comes back, everything on that way works; an open socket or a running task proves nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["Pulse"]

_PATIENCE_SECONDS: Final = 1.0
"""How long a question waits for an echo that is late; a probe may take 2 s."""


class Pulse:
    """Sends echoes at an interval and knows when the last one came back.

    Args:
        send: sends an echo with this number, soon; False where there is no room for it.
        interval_seconds: between two echoes.
        stale_seconds: how old the last echo may be.
    """

    def __init__(
        self,
        send: Callable[[int], bool],
        *,
        interval_seconds: float,
        stale_seconds: float,
    ) -> None:
        self._send = send
        self._interval = interval_seconds
        self._stale = stale_seconds
        self._sent = 0
        self._sent_at = 0.0
        self._back = 0
        self._lag = 0.0
        self._began = 0.0
        self._last: float | None = None
        self._came = asyncio.Event()

    async def beat_forever(self) -> None:
        """Send an echo now and at each interval."""
        self._began = asyncio.get_running_loop().time()
        while True:
            if self._back == self._sent:
                # Else the lag is told by the oldest that is not back.
                self._sent_at = asyncio.get_running_loop().time()
            self._sent += 1
            self._send(self._sent)
            await asyncio.sleep(self._interval)

    def came(self, number: int) -> None:
        """Take an echo that came back; one that was never sent is no proof."""
        if 0 < number <= self._sent:
            self._last = asyncio.get_running_loop().time()
            if number > self._back:
                self._lag = self._last - self._sent_at
                # What was sent between the two is lost, or behind it.
                self._back, self._sent_at = self._sent, self._last
            self._came.set()

    @property
    def lag_seconds(self) -> float:
        """How long the last event took that came round; while one is missing, at least so long."""
        if self._back == self._sent:
            return self._lag
        return max(self._lag, asyncio.get_running_loop().time() - self._sent_at)

    async def trouble(self) -> str | None:
        """Return None while echoes come back, else when the last one did.

        Waits up to a second for one that is late, so that the first question after the start
        is answered by the first echo.
        """
        if self._is_fresh():
            return None
        self._came.clear()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._came.wait()
        except TimeoutError:
            now = asyncio.get_running_loop().time()
            expected = f"expected every {self._interval:g} s"
            if self._last is None:
                since = f"since the start {now - self._began:.0f} s ago"
                return f"no event has come back from the bus {since}; {expected}"
            return f"the last event came back from the bus {now - self._last:.0f} s ago; {expected}"
        return None

    def _is_fresh(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._last is not None and now - self._last <= self._stale
