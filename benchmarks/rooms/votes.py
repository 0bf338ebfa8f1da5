"""One vote a voter, whatever breaks: what was acknowledged is what is stored, and is counted."""

import asyncio
import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Final

import uvloop

from benchmarks import wire
from benchmarks.faults.breakable import BreakablePostgres
from benchmarks.faults.client import Address, WebSocketClient
from benchmarks.faults.scene import until
from benchmarks.rooms.asker import asking
from benchmarks.rooms.tokens import SETTINGS, token
from benchmarks.rooms.voters import Ballot, VoterSocket, count_votes
from benchmarks.servers import another

__all__ = ["Election", "votes"]

_WIDGET: Final = "votes"
_QUERY: Final = {"groupBy": "data.choice"}
_SELECTION: Final = "groups { key count }"
_SOCKETS: Final = 16
_PATIENCE_SECONDS: Final = 600.0
_REST_SECONDS: Final = 15.0
_AWAY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Election:
    """How large it is.

    Args:
        voters: who vote.
        votes: that each casts, at least two.
        signed: voters with a signed client id, each on a connection of its own; the others claim
            theirs, on 16 connections.
        kills: of the serving process.
        restarts: of Postgres, without warning.
    """

    voters: int = 50_000
    votes: int = 4
    signed: int = 1_000
    kills: int = 3
    restarts: int = 1


class _Watcher(WebSocketClient):
    """Watches the result; opened again as often as it is lost."""

    def __init__(self, address: Address) -> None:
        super().__init__(address, wire.handshake())
        self.result: dict[str, int] = {}
        """The last that it was told."""
        self.returns = True

    def opened(self) -> None:
        self.write(wire.initialise())

    def said(self, text: bytes) -> None:
        if b'"connection_ack"' in text:
            self.write(wire.live(0, _WIDGET, _QUERY, _SELECTION))
        elif b'"next"' in text and b'"errors"' not in text:
            self.result = _counts(json.loads(text)["payload"]["data"]["liveMessages"])
        elif b'"error"' in text:
            self.cut()  # refused while the database was away: come again

    def lost(self, code: int) -> None:  # noqa: ARG002 - any
        if self.returns:
            asyncio.get_running_loop().call_later(0.1, self.connect)


def _counts(result: dict[str, Any]) -> dict[str, int]:
    return {group["key"]: group["count"] for group in result["groups"]}


def votes(postgres: BreakablePostgres, election: Election) -> tuple[list[tuple[str, object]], bool]:
    """Hold one; return its figures, and whether every promise was kept."""
    return uvloop.run(_Run(postgres, election).held())


class _Run:
    def __init__(self, postgres: BreakablePostgres, election: Election) -> None:
        self._postgres = postgres
        self._election = election
        self._server = another(postgres.url, SETTINGS)
        self._address = Address(self._server.port)
        self._cpu_seconds = 0.0

    async def held(self) -> tuple[list[tuple[str, object]], bool]:
        try:
            return await self._held()
        finally:
            await asyncio.to_thread(self._server.stop)

    async def _held(self) -> tuple[list[tuple[str, object]], bool]:
        loop = asyncio.get_running_loop()
        election = self._election
        signed = self._signed_ids()
        claimed = [f"voter{number:06d}" for number in range(election.voters - len(signed))]
        ballot = Ballot([*(name for name, _ in signed), *claimed], election.votes)
        watcher = _Watcher(self._address)
        watcher.connect()
        sockets = self._sockets(ballot, [proof for _, proof in signed])
        before, began = self._server.cpu_seconds(), loop.time()
        for socket in sockets:
            socket.connect()
        faults = election.kills + election.restarts
        for number in range(faults):
            due = ballot.total * (number + 1) // (faults + 1)
            await self._acknowledged(ballot, due)
            ballot.is_away()
            if number < election.kills:
                self._cpu_seconds += self._server.cpu_seconds() - before
                await self._killed()
                before = self._server.cpu_seconds()  # without what its start took
            else:
                await asyncio.to_thread(self._postgres.stop)
                await asyncio.sleep(_AWAY_SECONDS)
                await asyncio.to_thread(self._postgres.start)
            ballot.is_back()
        await self._acknowledged(ballot, ballot.total)
        seconds = loop.time() - began
        self._cpu_seconds += self._server.cpu_seconds() - before
        for socket in sockets:
            socket.returns = False
            socket.cut()
        wrong = await self._judged(ballot, watcher)
        watcher.returns = False
        watcher.cut()
        up = seconds - ballot.away_seconds
        rows: list[tuple[str, object]] = [
            ("voters", election.voters),
            ("of them with a signed client id and a connection each", len(signed)),
            ("votes acknowledged", ballot.acknowledged),
            ("of them for another choice than before", ballot.changed),
            ("votes sent again", ballot.sent_again),
            ("SIGKILLs of the server", election.kills),
            ("restarts of Postgres", election.restarts),
            ("seconds", seconds),
            ("of them without the service", ballot.away_seconds),
            ("acknowledged/s while it was there", ballot.acknowledged / up),
            ("server CPU µs each", self._cpu_seconds / ballot.acknowledged * 1e6),
            *wrong,
        ]
        return rows, not any(count for _, count in wrong)

    def _signed_ids(self) -> list[tuple[str, str]]:
        """Client ids that the server has signed, and what proves them."""
        connection = HTTPConnection("127.0.0.1", self._server.port)
        body = json.dumps({"query": "{ viewer { clientId clientToken } }"})
        found = []
        for _ in range(self._election.signed):
            connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            viewer = json.load(connection.getresponse())["data"]["viewer"]
            found.append((viewer["clientId"], viewer["clientToken"]))
        connection.close()
        return found

    def _sockets(self, ballot: Ballot, proofs: list[str]) -> list[VoterSocket]:
        sockets = [
            VoterSocket(self._address, _WIDGET, ballot, [number], proof)
            for number, proof in enumerate(proofs)
        ]
        claiming = range(len(proofs), len(ballot.names))
        sockets += [
            VoterSocket(self._address, _WIDGET, ballot, claiming[place::_SOCKETS])
            for place in range(_SOCKETS)
        ]
        return sockets

    async def _acknowledged(self, ballot: Ballot, count: int) -> None:
        if not await until(lambda: ballot.acknowledged >= count, _PATIENCE_SECONDS):
            raise RuntimeError(f"{ballot.acknowledged:,} of {count:,} votes were acknowledged")

    async def _killed(self) -> None:
        self._server.process.kill()
        self._server.process.wait()
        self._server = await asyncio.to_thread(another, self._postgres.url, SETTINGS)
        self._address.port = self._server.port

    async def _judged(self, ballot: Ballot, watcher: _Watcher) -> list[tuple[str, int]]:
        """Hold what is stored, found and shown against what was acknowledged."""
        wrong, counts = await count_votes(self._postgres.url, _WIDGET, ballot)
        await until(lambda: watcher.result == counts, _REST_SECONDS)
        recount = await asyncio.to_thread(self._recount)
        return [
            *wrong,
            ("recounted otherwise than stored", _difference(recount, counts)),
            ("shown otherwise at rest than stored", _difference(watcher.result, counts)),
        ]

    def _recount(self) -> dict[str, int]:
        asked = (
            "query ($project: ID!, $widget: ID!, $query: MessageQuery!) { messages("
            f"projectId: $project, widgetId: $widget, query: $query) {{ {_SELECTION} }} }}"
        )
        with asking(self._server.port, token("anna"), _WIDGET) as asker:
            return _counts(asker.ask(asked, query=_QUERY)["messages"])


def _difference(one: dict[str, int], other: dict[str, int]) -> int:
    return sum(abs(one.get(key, 0) - other.get(key, 0)) for key in one.keys() | other.keys())
