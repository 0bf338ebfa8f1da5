"""Anything may happen in a room, in two processes: every view of it is what a plain list says.

What happens is drawn at random; a failure prints the seed, and `ROOMS_SEED=N` draws it again.
Most happens one after the other, and is predicted to the last event. Now and then all happens at
once; then the order is what one listener was told, and all others have to agree with it.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.acceptance.graphql_socket import GraphQLSocket, Refused
from tests.acceptance.room_model import MODERATED, Event, Room, Said, large, publication, retraction
from tests.acceptance.room_views import LARGE, QUERIES, LiveResult, View
from tests.acceptance.tokens import token
from tests.acceptance.widget import Widget
from tests.postgres_faults import cut_listeners
from tests.served import Served

pytestmark = pytest.mark.anyio

Pair = tuple[Served, Served]

_SPEAKERS: Final = ("ann", "bob", "cid")
_MODERATOR: Final = "mia"
_KEYS: Final = ("vote", "name")
_STEPS: Final = 36
_IDS: Final = "projectId: $project, widgetId: $widget"
_SEARCH: Final = (
    "query ($project: ID!, $widget: ID!"
    + "".join(f", ${name}: MessageQuery!" for name in QUERIES)
    + f") {{ stored: messages({_IDS}, query: {{limit: 1000}}) "
    "{ totalCount messages { id data } } "
    + " ".join(
        f"{name}: messages({_IDS}, query: ${name}) {{ {selection} }}"
        for name, (selection, _) in QUERIES.items()
    )
    + " }"
)


@dataclass
class _Happening:
    """Draws what happens next in one channel, does it, and holds all views against the room."""

    chance: random.Random
    pair: Pair
    widget: Widget
    sockets: dict[str, tuple[GraphQLSocket, GraphQLSocket]]
    """Of each person, one in each process."""
    room: Room
    reference: View
    """Its events are the log."""
    steady: list[View]
    cut: list[View]
    """They lose their connection from time to time."""
    results: list[LiveResult]
    numbers: "count[int]" = field(default_factory=count)
    is_held: bool = False

    # What may happen.

    async def say(self) -> None:
        await self.one(self.speaker(), None)

    async def keep(self) -> None:
        await self.one(self.speaker(), self.chance.choice(_KEYS))

    async def vote(self) -> None:
        await self.one(self.speaker(), self.chance.choice(_KEYS), replaces=True)

    async def one(self, who: str, key: str | None, *, replaces: bool = False) -> None:
        """Publish, and check that this is what came of it."""
        room = self.room
        earlier, waits = room.under(who, key), room.waiting_under(who, key)
        known = earlier or (waits if self.is_held else None)
        said = await self.publish(who, key, replaces=replaces)
        if said is None:
            assert (who, key) in room.spent
            await self.told([])
        elif known is not None and not replaces:
            assert said == known
            await self.told([])
        elif self.is_held:
            room.leaves([waits.id] if waits else [])
            room.waiting.append(said)
            await self.told([])
        else:
            await self.told([*retraction([earlier] if earlier else [], None), publication(said)])

    async def take_back(self) -> None:
        """One's own messages; those of others not."""
        who = self.speaker()
        ids = self.some_ids()
        there = self.room.holds(ids)
        if any(message.publisher != who for message in there):
            with pytest.raises(Refused, match="another publisher published"):
                await self.widget.retract(self.socket(who), *ids)
            await self.told([])
            return
        count = len(there) + self.room.leaves(ids, who)
        assert await self.widget.retract(self.socket(who), *ids) == count
        await self.told(retraction(there, None))

    async def moderate(self) -> None:
        ids = self.some_ids()
        there = self.room.holds(ids)
        count = len(there) + self.room.leaves(ids)
        socket = self.socket(_MODERATOR)
        assert await self.widget.retract(socket, *ids, reason=MODERATED) == count
        await self.told(retraction(there, MODERATED))

    async def approve(self) -> None:
        """Some of what waits; often two moderators do at once."""
        waiting = [one.id for one in self.room.waiting]
        ids = [*self.chance.sample(waiting, self.chance.randint(0, len(waiting))), str(uuid4())]
        published, expected = self.room.approval(ids)
        sockets = self.sockets[_MODERATOR][: self.chance.randint(1, 2)]
        counts = await asyncio.gather(*(self.widget.approve(one, ids) for one in sockets))
        assert sum(counts) == published
        self.room.leaves(ids)
        await self.told(expected)

    async def reject(self) -> None:
        ids = [self.chance.choice([str(uuid4()), *(one.id for one in self.room.waiting)])]
        assert await self.widget.reject(self.socket(_MODERATOR), ids) == self.room.leaves(ids)
        await self.told([])

    async def all_at_once(self) -> None:
        """Everybody votes in both processes, a moderator rules, somebody's connection is lost."""
        chance = self.chance
        doing: list[Awaitable[Any]] = []
        for who in _SPEAKERS:
            key = chance.choice(_KEYS)
            doing += [self.publish(who, key, replaces=chance.random() < 0.8) for _ in range(3)]
            doing += [self.publish(who) for _ in range(chance.randrange(3))]
        ids = self.some_ids()
        doing += [
            self.widget.retract(socket, *ids, reason=MODERATED)
            for socket in self.sockets[_MODERATOR]
        ]
        doing.append(self.reconnect(chance.choice(self.cut)))
        chance.shuffle(doing)
        most = len(self.room.holds(ids)) + len({*ids} & {one.id for one in self.room.waiting})
        done = await asyncio.gather(*doing)
        # Whatever is retracted is retracted once: in one process, or replaced before that.
        assert sum(one for one in done if isinstance(one, int)) <= most
        sockets = self.sockets[_MODERATOR]
        answer = await sockets[0].execute_all(_SEARCH, **self.variables)
        stored = [message["id"] for message in answer["stored"]["messages"]]
        while [message.id for message in self.room.stored] != stored:
            for event in await self.reference.next_after(len(self.room.log)):
                self.room.happens(event)
        assert not self.room.holds(ids)
        waiting = [message["id"] for message in await self.widget.held(sockets[0])]
        self.room.waiting = [self.room.acknowledged[name] for name in waiting]
        keys = [(one.publisher, one.key) for one in self.room.waiting if one.key is not None]
        assert len(keys) == len({*keys})
        said = {one.id for one in done if isinstance(one, Said) and one.key is None}
        assert said <= {*stored, *waiting}

    async def come_and_go(self) -> None:
        """Somebody is cut off, misses something, and goes on elsewhere."""
        view = self.chance.choice(self.cut)
        await view.cut()
        for _ in range(self.chance.randrange(4)):
            await self.chance.choice([self.say, self.vote, self.moderate])()
        speaking = asyncio.gather(*(self.publish(who) for who in _SPEAKERS))
        await view.begin(self.chance.choice(self.pair), self.room)
        said = [one for one in await speaking if one is not None]
        if self.is_held:
            order = [one["id"] for one in await self.widget.held(self.socket(_MODERATOR))]
            self.room.waiting += sorted(said, key=lambda one: order.index(one.id))
        else:
            for event in await self.events(len(said)):
                self.room.happens(event)

    async def replay(self) -> None:
        """Whoever goes on after any cursor is told of what is there and of all retractions."""
        if not self.room.log:
            return
        after = self.chance.choice(self.room.log)["cursor"]
        socket = self.socket(self.speaker())
        if after in self.room.deleted:
            for subscribe in (self.widget.events, self.widget.subscribe):
                with pytest.raises(Refused) as refused:
                    await (await subscribe(socket, after=after)).next()
                assert refused.value.code == "UNKNOWN_CURSOR"
            return
        expected = self.room.remains(self.room.places[after] + 1)
        events = await self.widget.events(socket, after=after)
        assert await events.take(len(expected)) == expected
        last = [None, *(event["cursor"] for event in self.room.remains())][-1]
        assert await events.next() == {"kind": "CaughtUp", "upTo": last}
        await events.complete()
        assert events.nothing_waits()
        plain = await self.widget.subscribe(socket, after=after)
        messages = [one["message"] for one in expected if "message" in one]
        told = [{"id": one["id"], "data": one["data"]} for one in await plain.take(len(messages))]
        assert told == messages
        await plain.complete()
        assert plain.nothing_waits()

    async def lose_listeners(self) -> None:
        """The processes hear nothing of each other for a moment: the table fills the holes."""
        database_url = self.pair[0].database_url
        assert database_url is not None
        assert await cut_listeners(database_url)

    async def hold(self, hold: bool) -> None:
        """Let messages wait for a moderator, or not any more; what waits does so still."""
        self.is_held = hold
        await self.widget.hold("UNTIL_APPROVED" if hold else "NONE", *self.sockets[_MODERATOR])

    async def delete(self) -> None:
        """Some messages, or seldom all of the channel."""
        await self.told_everybody()
        room, chance = self.room, self.chance
        choice = chance.choice(["red", "green", "blue"])
        some = ([m for m in room.stored if m.data["choice"] == choice], _choosing(choice))
        gone, filters = chance.choice(
            [
                (room.stored, []),
                ([m for m in room.stored if large(m.data)], LARGE),
                *[some] * 3,
            ]
        )
        process = chance.randrange(2)
        moderators = self.sockets[_MODERATOR]
        assert await self.widget.delete(moderators[process], filters) == len(gone)
        room.deletes(gone, all_of_it=not filters)
        await self.finds(moderators[process])
        # The other process has a second: it is there when its live results are.
        await self.rests()
        await self.finds(moderators[1 - process])

    # How it is done.

    async def reconnect(self, view: View) -> None:
        await view.cut()
        await view.begin(self.chance.choice(self.pair), self.room)

    def speaker(self) -> str:
        return self.chance.choice(_SPEAKERS)

    def socket(self, who: str) -> GraphQLSocket:
        return self.chance.choice(self.sockets[who])

    def some_ids(self) -> list[str]:
        """Of one or two messages that are there or were, and of one that never was."""
        known = [*self.room.acknowledged][-20:]
        there = [message.id for message in (*self.room.stored, *self.room.waiting)]
        return [
            self.chance.choice(ids)
            for ids in (there, known, [str(uuid4())])
            if ids and self.chance.random() < 0.7
        ] or [str(uuid4())]

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "choice": self.chance.choice(["red", "green", "blue"]),
            "number": next(self.numbers),
        }
        if self.chance.random() < 0.8:
            data["n"] = self.chance.choice([7, 50, 51, 60, 99])
        return data

    async def publish(
        self, who: str, key: str | None = None, *, replaces: bool = False
    ) -> Said | None:
        """Publish; None: the key is spent."""
        data, socket = self.data(), self.socket(who)
        on_repeat = "REPLACE" if replaces else "KEEP"
        spent = (who, key) in self.room.spent
        try:
            message = await self.widget.publish(
                socket, data, id=key, on_repeat=on_repeat, client_id=f"{who}'s"
            )
        except Refused as refused:
            if refused.code == "UNAVAILABLE":
                # What would be the answer was replaced in the same moment.
                return await self.publish(who, key, replaces=replaces)
            if refused.code != "REJECTED":
                raise
            return None
        assert not spent, f"{who} published under {key}, which is spent"
        said = Said(message["id"], message["data"], who, key, replaces)
        acknowledged = self.room.acknowledged
        if message["data"] == data:
            assert message["held"] == self.is_held
            acknowledged[said.id] = said
        else:
            # Kept: it may be what the same publisher says in the same moment.
            assert key is not None
            assert not replaces
            earlier = acknowledged.setdefault(said.id, said)
            assert replace(earlier, replaces=False) == said
        return acknowledged[said.id]

    @property
    def variables(self) -> dict[str, Any]:
        return self.widget.ids | {name: query for name, (_, query) in QUERIES.items()}

    async def events(self, count: int) -> list[Event]:
        """The next events of the log."""
        before = len(self.room.log)
        events: list[Event] = []
        while len(events) < count:
            events += await self.reference.next_after(before + len(events))
        return events

    async def told(self, expected: Sequence[Event]) -> None:
        """Check that this is what the log says next."""
        events = await self.events(len(expected)) if expected else []
        for event, wanted in zip(events, expected, strict=True):
            # A retraction's cursor is told to nobody before.
            assert event == {"cursor": event["cursor"]} | wanted
            self.room.happens(event)

    async def searched(self) -> None:
        """Check what both processes find."""
        for socket in self.sockets[_MODERATOR]:
            await self.finds(socket)

        held = [{"id": one.id, "data": one.data} for one in self.room.waiting]
        assert await self.widget.held(self.socket(_MODERATOR)) == held

    async def finds(self, socket: GraphQLSocket) -> None:
        found = await socket.execute_all(_SEARCH, **self.variables)
        for name, answer in self.found.items():
            assert found[name] == answer, name

    @property
    def found(self) -> dict[str, Any]:
        """The answer to `_SEARCH`."""
        stored = [{"id": m.id, "data": m.data} for m in self.room.stored]
        return {"stored": {"totalCount": len(stored), "messages": stored}} | self.room.result()

    async def rests(self) -> None:
        """Check what everybody has at rest."""
        await self.told_everybody()
        for result in self.results:
            await result.agrees(self.room)
        assert self.reference.told == self.room.log

    async def told_everybody(self) -> None:
        for view in (self.reference, *self.steady, *self.cut):
            await view.agrees(self.room)


def _choosing(choice: str) -> list[dict[str, Any]]:
    return [{"field": "data.choice", "operator": "EQ", "value": choice}]


@asynccontextmanager
async def _happening(pair: Pair, seed: int) -> AsyncIterator[_Happening]:
    widget, room = Widget.new(), Room()
    tokens = {who: token(who) for who in _SPEAKERS}
    tokens[_MODERATOR] = token(_MODERATOR, "publish", "subscribe", "search", "moderate", "admin")
    reference = View("reference", widget, tokens["ann"], events=True)
    steady = [
        View(
            f"steady {events=} {filtered=}", widget, tokens["bob"], events=events, filtered=filtered
        )
        for events in (True, False)
        for filtered in (True, False)
    ]
    cut = [
        View(f"cut {events=} {filtered=}", widget, tokens["cid"], events=events, filtered=filtered)
        for events, filtered in ((True, False), (True, True), (False, True))
    ]
    async with AsyncExitStack() as stack:
        views = [reference, *steady, *cut]
        for number, view in enumerate(views):
            await view.begin(pair[number % 2], room)
            stack.push_async_callback(view.close)
        sockets = {
            who: (
                await stack.enter_async_context(GraphQLSocket(pair[0], {"authToken": proof})),
                await stack.enter_async_context(GraphQLSocket(pair[1], {"authToken": proof})),
            )
            for who, proof in tokens.items()
        }
        results = [
            await LiveResult.watch(name, socket, widget)
            for name in QUERIES
            for socket in sockets["ann"]
        ]
        yield _Happening(
            random.Random(seed), pair, widget, sockets, room, reference, steady, cut, results
        )


@pytest.mark.parametrize("example", range(4))
async def test_every_view_is_what_a_plain_list_says(pair: Pair, example: int) -> None:
    seed = int(os.environ.get("ROOMS_SEED") or random.SystemRandom().randrange(10**9))
    print(f"example {example}: ROOMS_SEED={seed}")
    async with _happening(pair, seed) as happening:
        may_happen = [
            happening.say,
            happening.keep,
            *[happening.vote] * 3,
            happening.take_back,
            happening.moderate,
            happening.all_at_once,
            happening.come_and_go,
            happening.replay,
            happening.delete,
        ]
        held = [*may_happen, *[happening.approve] * 4, happening.reject]
        # Every other room holds its messages for a while.
        holds = {8: True, 26: False} if example % 2 else {}
        for step in range(1, _STEPS + 1):
            if step in holds:
                await happening.hold(holds[step])
            happens = happening.chance.choice(held if happening.room.waiting else may_happen)
            print(f"{step}: {happens.__name__}")
            if example == 2 and step % 12 == 6:
                await happening.lose_listeners()
            await happens()
            await happening.searched()
            if step % 12 == 0:
                await happening.rests()
