"""How much each publisher, address and project may ask for in a second: token buckets.

A process counts for itself: of N processes each grants the whole rate. What is refused has cost a
few look-ups, and is asked before the work it bounds. The channel's own rates are its policy's
(`app.services.pacing`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

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

    def wait(self, key: str, now: int) -> int:
        """Return how long it is until the bucket has a token; 0 or less: it has one.

        Args:
            key: whose.
            now: nanoseconds of a clock that is never set.
        """
        full_at = self._young.get(key) or self._old.get(key, 0)
        return full_at + self._share - self._burst - now

    def take(self, key: str, now: int) -> None:
        """Take a token from a bucket that has one. Args: as `wait`."""
        young = self._young
        full_at = young.get(key)
        if full_at is None:
            full_at = self._old.get(key, 0)
            if now >= self._turns_at or len(young) >= _MOST:
                self._old = young
                young = self._young = {}
                self._turns_at = now + self._burst
        young[key] = (full_at if full_at > now else now) + self._share


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

    __slots__ = ("_clock", "_kinds", "_what")

    def __init__(
        self,
        what: str,
        per_second: PerSecond,
        burst_seconds: float = RATE_BURST_SECONDS,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._what = what
        self._clock = clock
        rates: tuple[tuple[_Kind, float], ...] = (
            ("publisher", per_second.publisher),
            ("address", per_second.address),
            ("project", per_second.project),
        )
        self._kinds = [(kind, Buckets(rate, burst_seconds)) for kind, rate in rates if rate]

    def admit(self, viewer: Viewer, peer: Peer, project_id: str) -> None:
        """Return if one more may be done now, and count it.

        Args:
            viewer: who asks.
            peer: where from.
            project_id: where.

        Raises:
            RateLimited: not yet. Nothing is counted.
        """
        kinds = self._kinds
        if not kinds:
            return
        now = self._clock()
        taken: list[tuple[Buckets, str]] = []
        for kind, buckets in kinds:
            if kind == "project":
                key = project_id
            elif kind == "address":
                if viewer.subject is not None:
                    continue
                key = peer.network
            else:
                publisher = viewer.publisher
                if publisher is None:
                    continue
                key = publisher
            wait = buckets.wait(key, now)
            if wait > 0:
                COUNTED.refusals["rate"] += 1
                raise self._too_many(kind, buckets, wait)
            taken.append((buckets, key))
        for buckets, key in taken:
            buckets.take(key, now)

    def _too_many(self, kind: "_Kind", buckets: Buckets, wait: int) -> RateLimited:
        wait_ms = -(-wait // _MILLISECOND)
        return RateLimited(
            f"too many {self._what} {_WHOSE[kind]}: allowed are {buckets.per_second:g} a second, "
            f"{buckets.at_once} at once; retry in {wait_ms} ms",
            wait_ms,
        )


_Kind = Literal["publisher", "address", "project"]

_WHOSE: Final[dict[_Kind, str]] = {
    "publisher": "by this publisher",
    "address": "from this address",
    "project": "in this project",
}
