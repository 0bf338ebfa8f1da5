"""Who publishes and who listens during a chaos run."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.chaos.listeners import (
    EventsSubscriber,
    Listener,
    OldSubscriber,
    ResultWatcher,
    Returning,
    StreamSubscriber,
    VoteFollower,
)
from benchmarks.chaos.searcher import Searcher
from benchmarks.faults.client import Address, Subscriber
from benchmarks.faults.load import Load
from benchmarks.faults.scene import until
from benchmarks.rooms.voters import Ballot, VoterSocket

__all__ = ["VOTES_WIDGET", "WIDGET", "Audience"]

WIDGET: Final = "chaos"
VOTES_WIDGET: Final = "chaosvotes"
_START_SECONDS: Final = 30.0
_VOTER_SOCKETS: Final = 3
_VOTERS_OF_A_SOCKET: Final = 4
_VOTER_PAUSE_SECONDS: Final = 1.0
_RECEIVE_BUFFER_BYTES: Final = 32_768
_ENDLESS: Final = 1_000_000
_MEDIA_TYPES: Final = ("text/event-stream", "multipart/mixed;subscriptionSpec=1.0")


def _soon(_retries: int) -> float:
    return random.uniform(0.1, 0.8)


class Audience:
    """Publishers, subscribers of every kind, voters, and watchers of results.

    Args:
        port: of the service.
        of_each: subscribers of each of the six kinds.
        per_second: publishes.
    """

    def __init__(self, port: int, of_each: int, per_second: float) -> None:
        self._per_second = per_second
        address = Address(port)
        self.load = Load(address, WIDGET)
        self.sockets: list[Subscriber] = []
        """Subscribers on sockets, which can be cut, stopped and left half open."""
        kinds = (Subscriber, Subscriber, EventsSubscriber, OldSubscriber)
        for place in range(of_each):
            for number, kind in enumerate(kinds):
                legacy = number == 1
                self.sockets.append(
                    kind(address, 4 * place + number, WIDGET, legacy=legacy, retry=_soon)
                )
                # So that a reader that is slow is noticed as such.
                self.sockets[-1].receive_buffer_bytes = _RECEIVE_BUFFER_BYTES
        self._streams = [
            StreamSubscriber(address, WIDGET, media_type, _soon)
            for _ in range(of_each)
            for media_type in _MEDIA_TYPES
        ]
        self.listeners: Sequence[Listener] = (*self.sockets, *self._streams)
        self.watchers = [ResultWatcher(address, WIDGET, _soon) for _ in range(2)]
        self.searcher = Searcher(address, WIDGET, lambda: len(self.load.acked))
        self.followers = [VoteFollower(address, VOTES_WIDGET, _soon) for _ in range(2)]
        self._all: Sequence[Returning] = (*self.listeners, *self.watchers, *self.followers)
        self.left: list[asyncio.Transport] = []
        """Half-open connections that nobody closes."""
        names = [f"voter{number:02d}" for number in range(_VOTER_SOCKETS * _VOTERS_OF_A_SOCKET)]
        self.ballot = Ballot(names, _ENDLESS)
        numbers = range(len(names))
        self._voters = [
            VoterSocket(
                address,
                VOTES_WIDGET,
                self.ballot,
                numbers[place::_VOTER_SOCKETS],
                pause_seconds=_VOTER_PAUSE_SECONDS,
            )
            for place in range(_VOTER_SOCKETS)
        ]

    @property
    def counted(self) -> int:
        """Connections that the channel has when all are there."""
        return len(self.listeners) + len(self.watchers) + self.load.legacy_sockets

    @property
    def all_live(self) -> bool:
        """Whether every one of them is subscribed."""
        return all(one.live for one in self._all)

    async def join(self) -> None:
        """Subscribe all, publish the first message, then begin the load.

        Raises:
            TimeoutError: somebody did not hear the first message.
        """
        for one in self._all:
            one.connect()
        await self._expect(lambda: self.all_live, "not all subscribed")
        await self.load.exactly(1)
        for voter in self._voters:
            voter.connect()
        await self._expect(
            lambda: (
                all(one.heard for one in self.listeners)
                and all(one.shown for one in self.followers)
            ),
            "not all heard the first message",
        )
        self.load.start(self._per_second)
        self.searcher.start()

    async def _expect(self, condition: Callable[[], bool], otherwise: str) -> None:
        if not await until(condition, _START_SECONDS):
            raise TimeoutError(f"{otherwise} within {_START_SECONDS:g} s")

    async def finish(self, seconds: float) -> list[str]:
        """Publish and vote no more; return what was not acknowledged in time."""
        self.ballot.close()
        await self.searcher.stop()
        late = []
        try:
            await self.load.finish(seconds)
        except TimeoutError:
            late.append(f"publishes not acknowledged {seconds:g} s after the last fault")
        if not await until(lambda: self.ballot.closed, seconds):
            late.append(f"votes not acknowledged {seconds:g} s after the last fault")
        return late

    def heard_all(self, number: int) -> bool:
        """Whether that is what every subscriber heard last."""
        return all(one.heard and one.heard[-1] == number for one in self.listeners)

    def closed(self) -> Counter[int]:
        """Connections that ended, by close code."""
        return sum((one.closed for one in self.listeners), Counter[int]())

    def wrong(self) -> list[str]:
        """What was answered wrongly."""
        told = [*self.load.wrong, *self.ballot.wrong, *self.searcher.wrong]
        for one in self._all:
            told += one.wrong
        return told

    def leave(self) -> None:
        """Hang up."""
        for one in self._all:
            one.returns = False
            one.cut()
        for voter in self._voters:
            voter.returns = False
            voter.cut()
