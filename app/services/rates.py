"""How much each publisher, address and project may ask for in a second: token buckets.

A process counts for itself: of N processes each grants the whole rate. What is refused has cost a
few look-ups, and is asked before the work it bounds. The channel's own rates are its policy's
(`app.services.pacing`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.defaults import RATE_BURST_SECONDS
from app.domain.viewer import Viewer
from app.errors import RateLimited
from app.peer import Peer
from app.telemetry.counters import COUNTED

__all__ = ["Buckets", "PerSecond", "Rates"]

_SECOND: Final = 1_000_000_000
"""In nanoseconds: whole ones, so that nothing is rounded away."""
_MILLISECOND: Final = 1_000_000
_MOST: Final = 20_000
"""Buckets of one kind in a generation."""


class Buckets:
    """One token bucket a key.

    A bucket is the time at which it will be full again (the generic cell rate algorithm): each
    token taken moves that on by its share of a second, as far as the burst reaches. A bucket that
    is full need not be known. So they are kept in two generations, of which the older one is
    dropped after as long as a bucket may take to fill: by then, all in it are full.

    At most 20,000 are kept in a generation. When more come in the time of one, the older
    generation goes early, and a bucket in it begins full again.

    Args:
        per_second: tokens that come back in a second.
        burst_seconds: a full bucket has the tokens of so many seconds, at least one.
    """

    __slots__ = ("_burst", "_old", "_share", "_turns_at", "_young", "at_once", "per_second")

    def __init__(self, per_second: float, burst_seconds: float) -> None:
        self.per_second = per_second
        self.at_once = max(1, int(per_second * burst_seconds))
        self._share = round(_SECOND / per_second)
        self._burst = self._share * self.at_once
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._turns_at = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, key: str, now: int) -> int:
        """Take a token if the bucket has one; return how long until it has one, 0: it is taken.

        Args:
            key: whose.
            now: nanoseconds of a clock that is never set.
        """
        full_at = self._young.get(key)
        if full_at is None:
            full_at = self._grown(key, now)
        full_at = (full_at if full_at > now else now) + self._share
        wait = full_at - self._burst - now
        if wait > 0:
            return wait
        self._young[key] = full_at
        return 0

    def give_back(self, key: str) -> None:
        """Put a token back that was just taken."""
        self._young[key] -= self._share

    def _grown(self, key: str, now: int) -> int:
        """Return when an older bucket is full; begin a generation when that is due."""
        full_at = self._old.get(key, 0)
        if now >= self._turns_at or len(self._young) >= _MOST:
            self._old, self._young = self._young, {}
            self._turns_at = now + self._burst
        return full_at


@dataclass(frozen=True, slots=True)
class PerSecond:
    """How often a second something may be done; 0: as often as one likes."""

    publisher: float = 0
    """By one publisher whom a token or a signed client id proves."""
    address: float = 0
    """From one address, by all whom no token's `sub` names. IPv6: by one /64 network."""
    project: float = 0
    """In one project, by all together."""


class Rates:
    """The rates of one thing that is asked for.

    Who has a token's `sub` is counted by that. Whoever has none is counted by the address, whatever
    client id it claims, and a signed client id by itself as well: anybody gets as many of those as
    they like. Everybody counts for the project, moderators too.

    Args:
        what: is counted, in the plural, for texts.
        per_second: the rates.
        burst_seconds: so many seconds' worth may come at once after a rest.
        clock: nanoseconds of a clock that is never set.
    """

    __slots__ = ("_by_address", "_by_project", "_by_publisher", "_clock", "_off", "_what")

    def __init__(
        self,
        what: str,
        per_second: PerSecond,
        burst_seconds: float = RATE_BURST_SECONDS,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        def buckets(rate: float) -> Buckets | None:
            return Buckets(rate, burst_seconds) if rate else None

        self._what = what
        self._clock = clock
        self._off = per_second == PerSecond()
        self._by_publisher = buckets(per_second.publisher)
        self._by_address = buckets(per_second.address)
        self._by_project = buckets(per_second.project)

    def admit(self, viewer: Viewer, peer: Peer, project_id: str) -> None:
        """Return if one more may be done now, and count it.

        Args:
            viewer: who asks.
            peer: where from.
            project_id: where.

        Raises:
            RateLimited: not yet. Nothing is counted.
        """
        # No list and no loop: this is asked with every publish.
        if self._off:
            return
        now = self._clock()
        publisher = None
        if self._by_publisher is not None:
            publisher = viewer.publisher
            if publisher is not None and (wait := self._by_publisher.take(publisher, now)):
                raise self._too_many("by this publisher", self._by_publisher, wait)
        by_address = self._by_address if viewer.subject is None else None
        if by_address is not None and (wait := by_address.take(peer.network, now)):
            self._give_back(publisher, None)
            raise self._too_many("from this address", by_address, wait)
        by_project = self._by_project
        if by_project is not None and (wait := by_project.take(project_id, now)):
            self._give_back(publisher, None if by_address is None else peer.network)
            raise self._too_many("in this project", by_project, wait)

    def _give_back(self, publisher: str | None, address: str | None) -> None:
        """Uncount what was counted already of something that is refused."""
        if self._by_publisher is not None and publisher is not None:
            self._by_publisher.give_back(publisher)
        if self._by_address is not None and address is not None:
            self._by_address.give_back(address)

    def _too_many(self, whose: str, buckets: Buckets, wait: int) -> RateLimited:
        COUNTED.refusals["rate"] += 1
        wait_ms = -(-wait // _MILLISECOND)
        return RateLimited(
            f"too many {self._what} {whose}: allowed are {buckets.per_second:g} a second, "
            f"{buckets.at_once} at once; retry in {wait_ms} ms",
            wait_ms,
        )
