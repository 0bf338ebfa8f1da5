"""Whose search runs next, and who is told to come back: searches wait in lines, not in a crowd.

Places are given to channels in turn, and within a channel to those who ask in it, in turn.
So one channel's audience never keeps another's waiting, nor one client that asks for fifty
searches the single one of its neighbour: whatever many ask for, one search of each goes
before the second of any. (Turns, not shares of time: what takes long has a queue of its own.)

A request may need several statements, one after another. Once it has begun it goes before those
that have not, until it has run for as long as one statement may: or those that begin would leave
no time for any to end.

Bounds, and what happens at each. `UNAVAILABLE` says when to come back (`retryAfterMs`):

- more wait than may: the newest of the longest line is refused, the newcomer's own if its line
  is the longest;
- a newcomer would wait longer than anybody may, by how long searches took lately: refused at
  once;
- a search has waited as long as it may: refused.

Whoever is cancelled leaves its line, or gives its place to the next.
"""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, TypeAlias, TypeVar

from app.defaults import SEARCH_QUEUE_MAX, SEARCH_WAIT_SECONDS, STATEMENT_TIMEOUT_SECONDS
from app.errors import Unavailable

__all__ = ["SearchQueue", "SearchRequest"]

T = TypeVar("T")

_WEIGHT_OF_NEWEST: Final = 0.2
"""Of the last search's duration in the mean of them."""
_EARLIER: Final = 0.1
"""A part of the longest wait: the last one in which refusals are spread."""
_NOTICEABLE_SECONDS: Final = 0.25
_LEAST_RETRY_MS: Final = 250
_MOST_RETRY_MS: Final = 60_000


class SearchRequest:
    """One request, which may search several times.

    Args:
        asker: who asks: equal for what one client asks. None: not known; all of them stand
            in one line of their channel.
    """

    __slots__ = ("asker", "ran_seconds")

    def __init__(self, asker: Hashable = None) -> None:
        self.asker = asker
        self.ran_seconds = 0.0
        """How long its searches have run, those that have ended."""


class _Waiter:
    """One search that waits."""

    __slots__ = ("channel", "in_line", "request", "turn")

    def __init__(
        self, channel: str, request: SearchRequest, turn: "asyncio.Future[Unavailable | None]"
    ) -> None:
        self.channel = channel
        self.request = request
        self.turn = turn
        """None: it has a place and may run; an error: it is refused."""
        self.in_line = False


_Line: TypeAlias = deque[_Waiter]
_Lines: TypeAlias = OrderedDict[Hashable, _Line]
"""The lines of a channel, by who asks; the next one first, none empty."""


class SearchQueue:
    """Places for searches, and the lines before them."""

    def __init__(
        self,
        running_max: int,
        *,
        waiting_max: int = SEARCH_QUEUE_MAX,
        wait_seconds: float = SEARCH_WAIT_SECONDS,
        request_seconds: float = STATEMENT_TIMEOUT_SECONDS,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """Make an empty queue.

        Args:
            running_max: searches that run at once.
            waiting_max: searches that wait, all lines together.
            wait_seconds: no search waits for longer.
            request_seconds: a request that has begun goes first until it has run for so long.
            spread: from 0 to 1, drawn for each refusal, so that those who are refused
                together do not come back together.
        """
        self._running_max = running_max
        self._waiting_max = waiting_max
        self._wait_seconds = wait_seconds
        self._request_seconds = request_seconds
        self._spread = spread
        self._running: dict[object, float] = {}
        """When each of those that run began."""
        self._channels: OrderedDict[str, _Lines] = OrderedDict()
        """The lines by channel; the next one first, none empty."""
        self._begun: _Line = deque()
        """Searches of requests that have begun: before all lines."""
        self._waiting = 0
        self._mean_seconds = 0.0
        self.refused = 0
        """Searches, since the beginning."""

    @property
    def running(self) -> int:
        """Searches that run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Searches that wait."""
        return self._waiting

    async def run(
        self, channel: str, request: SearchRequest, search: Callable[[], Awaitable[T]]
    ) -> T:
        """Run `search` when its turn comes, and return what it returns.

        Args:
            channel: the key of the channel that is searched.
            request: what it is a part of.
            search: starts it; its exceptions are passed on.

        Raises:
            Unavailable: refused, see above; it did not run.
        """
        place: object
        # Whoever is in line goes first, even if a place is being handed over just now.
        if len(self._running) >= self._running_max or self._waiting:
            place = await self._turn(channel, request)
        else:
            place = object()
            self._running[place] = asyncio.get_running_loop().time()
        finished = False
        try:
            found = await search()
            finished = True
        finally:
            self._give_place(place, request, finished)
        return found

    # Places.

    def _give_place(self, place: object, request: SearchRequest, finished: bool) -> None:
        now = asyncio.get_running_loop().time()
        took = now - self._running.pop(place)
        request.ran_seconds += took
        # One that failed or was given up early says only that searches take as long as that.
        if finished or took > self._mean_seconds:
            weight = _WEIGHT_OF_NEWEST if self._mean_seconds else 1.0
            self._mean_seconds += weight * (took - self._mean_seconds)
        while self._waiting and len(self._running) < self._running_max:
            waiter = self._next()
            # Taken for it now: nobody else may take it before its task goes on. One that is
            # being cancelled needs none.
            if not waiter.turn.done():
                self._running[waiter] = now
                waiter.turn.set_result(None)

    # Lines.

    async def _turn(self, channel: str, request: SearchRequest) -> _Waiter:
        """Wait in line; return what the place was taken for."""
        loop = asyncio.get_running_loop()
        begun = 0.0 < request.ran_seconds < self._request_seconds
        if not begun and self._expected_wait(channel, request, loop.time()) > self._wait_seconds:
            raise self._refusal("so many wait that it would not begin in time")
        waiter = _Waiter(channel, request, loop.create_future())
        self._enter(waiter, begun)
        if self._waiting > self._waiting_max:
            self._refuse(self._longest_line()[-1], "too many wait")
        # Not all who came together are refused together: the answers would hold up the loop.
        wait = self._wait_seconds * (1 - _EARLIER * self._spread())
        timer = loop.call_later(wait, self._refuse, waiter, f"it waited for {wait:.2g} s")
        try:
            refused = await waiter.turn
        except BaseException:
            if waiter.in_line:
                self._leave(waiter)
            elif waiter in self._running:
                # Cancelled just as its turn came.
                self._give_place(waiter, request, finished=False)
            raise
        finally:
            timer.cancel()
        if refused is not None:
            raise refused
        return waiter

    def _enter(self, waiter: _Waiter, begun: bool) -> None:
        if begun:
            self._begun.append(waiter)
        else:
            lines = self._channels.setdefault(waiter.channel, OrderedDict())
            lines.setdefault(waiter.request.asker, deque()).append(waiter)
        waiter.in_line = True
        self._waiting += 1

    def _leave(self, waiter: _Waiter) -> None:
        waiter.in_line = False
        self._waiting -= 1
        if waiter in self._begun:
            self._begun.remove(waiter)
            return
        asker = waiter.request.asker
        lines = self._channels[waiter.channel]
        lines[asker].remove(waiter)
        if not lines[asker]:
            del lines[asker]
        if not lines:
            del self._channels[waiter.channel]

    def _next(self) -> _Waiter:
        """Take the next one out of its line; its channel and its asker go to the end."""
        while self._begun:
            waiter = self._begun[0]
            self._leave(waiter)
            if waiter.request.ran_seconds < self._request_seconds:
                return waiter
            # Others of its request have used up the time meanwhile.
            self._enter(waiter, begun=False)
        channel, lines = next(iter(self._channels.items()))
        asker, line = next(iter(lines.items()))
        waiter = line[0]
        self._channels.move_to_end(channel)
        lines.move_to_end(asker)
        self._leave(waiter)
        return waiter

    def _longest_line(self) -> _Line:
        # Of equals the last: whoever came first stays.
        channels = reversed(self._channels.values())
        lines = max(channels, key=lambda lines: sum(map(len, lines.values())), default=None)
        if lines is None:
            return self._begun
        return max(reversed(lines.values()), key=len)

    # Refusals.

    def _refuse(self, waiter: _Waiter, why: str) -> None:
        if not waiter.turn.done():
            self._leave(waiter)
            waiter.turn.set_result(self._refusal(why))

    def _refusal(self, why: str) -> Unavailable:
        self.refused += 1
        typical = self._typical(asyncio.get_running_loop().time())
        present = (self._waiting + len(self._running)) * typical / self._running_max
        # What is in line now is gone after the longest wait, answered or refused.
        drained = min(present, self._wait_seconds + typical)
        # Between that time and twice as long, so that it is used and nobody meets a crowd.
        retry = drained * 1000 * (1 + self._spread()) + _LEAST_RETRY_MS * self._spread()
        retry_after_ms = round(min(max(retry, _LEAST_RETRY_MS), _MOST_RETRY_MS))
        return Unavailable(
            f"too many searches: {why} ({self._waiting} wait, {len(self._running)} run); "
            f"retry after {retry_after_ms} ms, or subscribe to the result with liveMessages",
            retry_after_ms,
        )

    def _typical(self, now: float) -> float:
        """Return how many seconds a search takes, as far as is known."""
        if self._mean_seconds:
            return self._mean_seconds
        longest = max((now - began for began in self._running.values()), default=0.0)
        # What is shorter may be the loop's own time, busy with all those who have just come.
        return longest if longest > _NOTICEABLE_SECONDS else 0.0

    def _expected_wait(self, channel: str, request: SearchRequest, now: float) -> float:
        """Return how many seconds a newcomer would wait, by what searches took lately."""
        ahead = 0
        if (lines := self._channels.get(channel)) is not None:
            # Of each line of the channel, as many as are in the newcomer's own, and one more.
            own = len(lines.get(request.asker, ()))
            in_channel = sum(map(len, lines.values())) if own else len(lines)
            ahead = min(in_channel, len(lines) * (own + 1))
        # Of each channel as many, and all that have begun.
        in_lines = self._waiting - len(self._begun)
        ahead = len(self._begun) + min(in_lines, len(self._channels) * (ahead + 1))
        # The one that has run longest ends first, if it is as long as others were.
        longest = max((now - began for began in self._running.values()), default=0.0)
        typical = self._typical(now)
        return max(0.0, typical - longest) + ahead * typical / self._running_max
