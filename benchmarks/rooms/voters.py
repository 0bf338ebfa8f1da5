"""Voters: each has one vote under way at the most, and sends it again until it is answered."""

import asyncio
import json
import random
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

import asyncpg

from benchmarks import wire
from benchmarks.faults.client import Address, WebSocketClient

__all__ = ["Ballot", "VoterSocket", "count_votes"]

CHOICES: Final = ("red", "green", "blue", "yellow")
_CHANGED: Final = 0.2
"""How many of all votes are for another choice than the voter's last one."""
_LANES: Final = 64
"""Votes under way on one socket."""
_RETURN_SECONDS: Final = (0.05, 0.3)
_STORED: Final = "SELECT client_id, data ->> 'choice' AS choice FROM messages WHERE channel = $1"
_MUTATION: Final = (
    "mutation Vote($widget: ID!, $data: JSON!, $client: ID) { publish("
    'projectId: "BENCHMRK", widgetId: $widget, clientId: $client, data: $data, id: "vote", '
    "onRepeat: REPLACE) { id } }"
)


class Ballot:
    """What was voted, as far as it was acknowledged.

    Args:
        names: of the voters, their client ids.
        votes: how many each casts; at least two.
    """

    def __init__(self, names: list[str], votes: int) -> None:
        self.names = names
        self.total = len(names) * votes
        self.choices = array("b", [-1] * len(names))
        """The number of each voter's last acknowledged choice; -1: none."""
        self.left = array("L", [votes] * len(names))
        """Votes that each has to cast."""
        self.acknowledged = 0
        self.changed = 0
        """Acknowledged votes for another choice than the voter's last one."""
        self.sent_again = 0
        self.wrong: list[str] = []
        """Errors that votes were answered with, other than UNAVAILABLE: there should be none."""
        self.away_seconds = 0.0
        """How long nothing could be acknowledged, as `is_away` and `is_back` were told."""
        self._gone_at: float | None = None
        self._is_back = False
        self._chance = random.Random(4)
        self._changed_share = _CHANGED * votes / (votes - 1)  # the first is no change

    def close(self) -> None:
        """Let each voter cast one more vote, the last."""
        self.left = array("L", [1] * len(self.names))

    @property
    def closed(self) -> bool:
        """Whether every vote is cast."""
        return not any(self.left)

    def drawn(self, voter: int) -> int:
        """What a voter votes for next."""
        last, chance = self.choices[voter], self._chance
        if last < 0:
            return chance.randrange(len(CHOICES))
        if chance.random() >= self._changed_share:
            return last
        return (last + chance.randrange(1, len(CHOICES))) % len(CHOICES)

    def is_away(self) -> None:
        """Take note that the service has just been ended."""
        self._gone_at, self._is_back = asyncio.get_running_loop().time(), False

    def is_back(self) -> None:
        """Take note that it was started: the next acknowledgement ends the time without it."""
        self._is_back = True

    def acknowledge(self, voter: int, choice: int) -> None:
        """Take note of an acknowledged vote."""
        if self._is_back and self._gone_at is not None:
            self.away_seconds += asyncio.get_running_loop().time() - self._gone_at
            self._gone_at = None
        self.acknowledged += 1
        self.changed += self.choices[voter] not in (-1, choice)
        self.choices[voter] = choice
        self.left[voter] -= 1


class VoterSocket(WebSocketClient):
    """Some voters on one connection, which is opened again as often as it is lost.

    Args:
        address: of the server.
        widget: the poll.
        ballot: where votes are noted.
        voters: their numbers in it, who vote in turns.
        client_token: what proves the client id of the one voter that there is; None: they claim
            their ids.
        pause_seconds: of a voter after each vote.
    """

    def __init__(
        self,
        address: Address,
        widget: str,
        ballot: Ballot,
        voters: Sequence[int],
        client_token: str | None = None,
        *,
        pause_seconds: float = 0.0,
    ) -> None:
        super().__init__(address, wire.handshake())
        self._ballot = ballot
        payload = None if client_token is None else {"clientToken": client_token}
        self._init = wire.text(json.dumps({"type": "connection_init", "payload": payload}))
        self._claims = client_token is None
        self._widget = widget
        self._waiting = deque((voter, ballot.drawn(voter)) for voter in voters)
        self._under_way: dict[int, tuple[int, int]] = {}
        self._number = 0
        self._pause = pause_seconds
        self._ready = False
        self.returns = True

    def opened(self) -> None:
        self.write(self._init)

    def said(self, text: bytes) -> None:
        if b'"connection_ack"' in text:
            self._ready = True
            self._vote()
        elif b'"next"' in text:
            # {"id":"000000007","type":"next",…
            self._answered(int(text[7:16]), text)

    def lost(self, code: int) -> None:  # noqa: ARG002 - any
        self._ready = False
        self._ballot.sent_again += len(self._under_way)
        self._waiting.extendleft(self._under_way.values())
        self._under_way.clear()
        if self.returns:
            delay = random.uniform(*_RETURN_SECONDS)
            asyncio.get_running_loop().call_later(delay, self._return)

    def _return(self) -> None:
        if self.returns:
            self.connect()

    def _answered(self, number: int, text: bytes) -> None:
        voter, choice = self._under_way.pop(number)
        if b'"errors"' not in text:
            self._ballot.acknowledge(voter, choice)
            if self._ballot.left[voter]:
                self._cast(voter, self._ballot.drawn(voter))
        else:
            if b'"UNAVAILABLE"' not in text:
                self._ballot.wrong.append(text[:500].decode(errors="replace"))
            self._ballot.sent_again += 1
            self._cast(voter, choice)
        self._vote()

    def _cast(self, voter: int, choice: int) -> None:
        if self._pause:
            asyncio.get_running_loop().call_later(self._pause, self._cast_now, voter, choice)
        else:
            self._waiting.append((voter, choice))

    def _cast_now(self, voter: int, choice: int) -> None:
        self._waiting.append((voter, choice))
        if self._ready:
            self._vote()

    def _vote(self) -> None:
        frames = []
        while self._waiting and len(self._under_way) < _LANES:
            voter, choice = self._waiting.popleft()
            self._number += 1
            self._under_way[self._number] = voter, choice
            variables = {"widget": self._widget, "data": {"choice": CHOICES[choice]}}
            if self._claims:
                variables["client"] = self._ballot.names[voter]
            payload = {"query": _MUTATION, "variables": variables}
            message = {"id": f"{self._number:09d}", "type": "subscribe", "payload": payload}
            frames.append(wire.text(json.dumps(message, separators=(",", ":"))))
        if frames:
            self.write(b"".join(frames))


async def count_votes(
    database_url: str, widget: str, ballot: Ballot
) -> tuple[list[tuple[str, int]], Counter[str]]:
    """Hold what is stored against what was acknowledged.

    Returns:
        What is wrong, each 0 when all is well; and the votes of each choice.
    """
    wanted = {
        name: CHOICES[choice]
        for name, choice in zip(ballot.names, ballot.choices, strict=True)
        if choice >= 0
    }
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(_STORED, f"{wire.PROJECT}/{widget}")
    finally:
        await connection.close()
    stored = {row["client_id"]: row["choice"] for row in rows}
    other = sum(stored.get(name, choice) != choice for name, choice in wanted.items())
    wrong = [
        ("voters who are missing", len(wanted.keys() - stored.keys())),
        ("votes too many", len(rows) - len(wanted.keys() & stored.keys())),
        ("votes that are not the last acknowledged", other),
        ("votes answered wrongly", len(ballot.wrong)),
    ]
    return wrong, Counter(stored.values())
