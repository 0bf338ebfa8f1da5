"""Held messages against a plain model: whatever is done by whom, both have the same."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.message import Message
from app.embedded.postgres import EmbeddedPostgres
from app.errors import Rejected
from app.storage.database import Database
from tests.conftest import cloned
from tests.storage.waiting_room import WaitingRoom, draft

_WHO = ("sub:ann", "signed:bob", None)
_KEYS = (None, "a", "b")


@dataclass
class Post:
    id: str
    owner: tuple[str | None, str] | None
    """Whose key it is; None: it has none."""
    replaces: bool


@dataclass
class Model:
    held: list[Post] = field(default_factory=list)
    published: list[Post] = field(default_factory=list)
    spent: set[tuple[str | None, str]] = field(default_factory=set)

    def hold(self, post: Post) -> str | None:
        """Return the id of the message that is answered with; None: refused."""
        if post.owner in self.spent:
            return None
        for known in (self.published, self.held):
            for earlier in known:
                if earlier.owner == post.owner is not None and not post.replaces:
                    return earlier.id
        if post.replaces:
            self.held = [one for one in self.held if one.owner != post.owner]
        self.held.append(post)
        return post.id

    def publish(self, post: Post) -> bool:
        """Return whether it was published."""
        earlier = [one for one in self.published if one.owner == post.owner is not None]
        if post.owner in self.spent or (earlier and not post.replaces):
            return False
        self.published = [one for one in self.published if one not in earlier]
        self.published.append(post)
        return True

    def approve(self, ids: list[str]) -> int:
        posts = {post.id: post for post in self.held}
        self.held = [post for post in self.held if post.id not in ids]
        return sum(self.publish(posts[one]) for one in ids if one in posts)

    def reject(self, ids: list[str]) -> int:
        before = len(self.held)
        self.held = [post for post in self.held if post.id not in ids]
        return before - len(self.held)

    def retract(self, message_id: str) -> None:
        """A moderator takes a message back."""
        for post in self.published:
            if post.id == message_id and post.owner is not None:
                self.spent.add(post.owner)
        self.published = [post for post in self.published if post.id != message_id]


_post = st.tuples(
    st.sampled_from(["hold", "hold", "publish"]),
    st.sampled_from(_WHO),
    st.sampled_from(_KEYS),
    st.booleans(),
)
_decide = st.tuples(
    st.sampled_from(["approve", "approve", "reject", "retract"]),
    st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True),
)
_steps = st.lists(st.tuples(st.integers(0, 1), st.one_of(_post, _decide)), max_size=25)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened


@pytest.fixture(scope="module")
def database(
    postgres: EmbeddedPostgres, template_database: str, runner: asyncio.Runner
) -> Iterator[Database]:
    for url in cloned(postgres, template_database):
        opened = runner.run(Database.connect(url))
        yield opened
        runner.run(opened.close())


@settings(max_examples=40)
@given(steps=_steps)
def test_two_processes_and_the_model_have_the_same(
    runner: asyncio.Runner, database: Database, steps: list[tuple[int, tuple[object, ...]]]
) -> None:
    runner.run(_compared(database, steps))


async def _compared(database: Database, steps: list[tuple[int, tuple[object, ...]]]) -> None:
    first = WaitingRoom(database)
    rooms = (first, WaitingRoom(database, first.channel))
    model = Model()
    ids: list[str] = []
    """Of all that was ever sent, so that what is long gone is decided about too."""
    for process, step in steps:
        await _step(rooms[process], model, ids, step)
        assert [one.id for one in await first.waiting()] == [post.id for post in model.held]
    visible = [entry for entry in await first.stored() if isinstance(entry, Message)]
    assert [message.id for message in visible] == [post.id for post in model.published]
    # What the two processes told adds up to the channel's one order.
    places = sorted((entry.sequence or 0, entry.id) for room in rooms for entry in room.told)
    assert [place for place, _ in places] == [*range(1, len(places) + 1)]


async def _step(room: WaitingRoom, model: Model, ids: list[str], step: tuple[object, ...]) -> None:
    match step:
        case ("hold" | "publish" as what, who, key, bool(replaces)):
            assert who is None or isinstance(who, str)
            assert key is None or isinstance(key, str)
            replaces = replaces and key is not None
            one = draft(key=key, publisher=who, replaces=replaces, channel=room.channel)
            post = Post(one.id, None if key is None else (who, key), replaces)
            ids.append(one.id)
            if what == "publish":
                written = await room.writer.write(one)
                assert (written.message is not None) == model.publish(post)
                return
            expected = model.hold(post)
            if expected is None:
                with pytest.raises(Rejected):
                    await room.holding.write(one)
            else:
                assert (await room.holding.write(one)).id == expected
        case (str(what), list(places)):
            chosen = [ids[place] for place in places if place < len(ids)]
            if what == "approve":
                assert await room.held.approve(room.channel, chosen) == model.approve(chosen)
            elif what == "reject":
                assert await room.held.reject(room.channel, chosen) == model.reject(chosen)
            elif chosen:
                await room.moderator_retracts(chosen[0])
                model.retract(chosen[0])
