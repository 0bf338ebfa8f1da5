"""What all faults share: their scale, the crowd that listens, and how one ends."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.faults.client import Address, Subscriber, back_off
from benchmarks.faults.load import Load
from benchmarks.faults.verdict import Verdict, judge, stored
from benchmarks.servers import Server

__all__ = ["Crowd", "Outcome", "Scale", "conclude", "mib", "until"]

_POLL_SECONDS: Final = 0.01
_CATCH_UP_SECONDS: Final = 90.0
_SETTLE_SECONDS: Final = 0.3
"""After all was heard: time for what should not come to come."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the faults are.

    Args:
        subscribers: that reconnect, or are let go of.
        steady: subscribers that stay through an outage.
        missed: messages published while nobody is connected.
        per_second: publishes under way meanwhile.
        outage_seconds: how long a database or a broker is away.
        polled_seconds: of load after Redis is back; its heads are polled every 5 s.
        retry: how long a subscriber waits before each try.
        settings: of the server.
    """

    subscribers: int = 1_000
    steady: int = 500
    missed: int = 2_000
    per_second: float = 50.0
    outage_seconds: float = 10.0
    polled_seconds: float = 7.0
    retry: Callable[[int], float] = back_off
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one fault showed."""

    rows: list[tuple[str, object]]
    verdict: Verdict
    kept: bool = True
    """Whether all else that was promised was kept."""


class Crowd:
    """Subscribers of one channel, every fourth on the legacy socket.

    Args:
        address: of the server.
        widget: the channel.
        count: how many.
        retry: see `Subscriber`.
        first: the number of the first of them.
    """

    def __init__(
        self,
        address: Address,
        widget: str,
        count: int,
        retry: Callable[[int], float],
        first: int = 0,
    ) -> None:
        self.members = [
            Subscriber(address, number, widget, legacy=number % 4 == 3, retry=retry)
            for number in range(first, first + count)
        ]

    async def join(self) -> None:
        """Connect all; return when all are subscribed.

        Raises:
            TimeoutError: somebody is not.
        """
        for member in self.members:
            member.connect()
        if not await until(lambda: self.live == len(self.members), _CATCH_UP_SECONDS):
            raise TimeoutError(f"{self.live} of {len(self.members)} subscribed")

    @property
    def live(self) -> int:
        """How many are subscribed now."""
        return sum(member.live for member in self.members)

    def heard(self, number: int) -> bool:
        """Whether that is what everybody heard last."""
        return all(member.heard and member.heard[-1] == number for member in self.members)

    def closed(self) -> Counter[int]:
        """Connections that ended, by close code."""
        return sum((member.closed for member in self.members), Counter[int]())

    def leave(self) -> None:
        """Hang up."""
        for member in self.members:
            member.returns = False
            member.cut()


async def until(
    condition: Callable[[], bool], seconds: float, each: Callable[[], None] = lambda: None
) -> bool:
    """Wait for something that the loop brings; return whether it came.

    Args:
        condition: looked at every 10 ms.
        seconds: the most to wait.
        each: called as often.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() > deadline:
            return False
        each()
        await asyncio.sleep(_POLL_SECONDS)
    return True


async def conclude(url: str, widget: str, load: Load, crowds: Sequence[Crowd]) -> Verdict:
    """Let the load end and everybody hear all; then hold it against the table."""
    await load.finish()
    table = await stored(url, widget)
    await until(lambda: all(crowd.heard(table[-1]) for crowd in crowds), _CATCH_UP_SECONDS)
    await asyncio.sleep(_SETTLE_SECONDS)
    members = [member for crowd in crowds for member in crowd.members]
    if wrong := [*load.wrong, *(one for member in members for one in member.wrong)]:
        raise RuntimeError(f"{len(wrong)} operations were answered wrongly, first {wrong[0]}")
    verdict = judge(table, load.acked, members)
    for crowd in crowds:
        crowd.leave()
    return verdict


def mib(server: Server) -> float:
    """A server's resident memory."""
    return server.resident_bytes() / 2**20
