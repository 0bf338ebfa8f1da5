"""A live result at rest equals a fresh search, whatever came and went."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.json_value import decode_json
from app.domain.message import Head, Message
from app.domain.query import (
    AggregateFunction,
    And,
    CompiledFilters,
    FieldPath,
    MessageQuery,
    compile_filter,
)
from app.errors import Unavailable
from app.services.live import kept_result
from app.services.live.kept_result import KeptResult
from app.storage.result_reads import ResultReads
from app.storage.search import MessageSearch
from tests.domain.query.reference import order_key
from tests.domain.query.strategies import CHANNEL, fields, messages, queries
from tests.domain.results.changes import changes
from tests.domain.results.test_tally import comparable
from tests.storage.stored import PROPERTY, Stored, published, sequences

T = TypeVar("T")
POLL = MessageQuery(group_by=FieldPath("data", ("liked",)))


class Live:
    """A result, the table it is of, and the way that messages come to both."""

    def __init__(self, stored: Stored, query: MessageQuery, *, keeps: bool = True) -> None:
        self.stored = stored
        self.query = query
        self.reads = 0
        self.there: list[Message] = []
        self.stale = True
        self.newest = 0
        self.accepts = compile_filter(And(query.filters))
        self.kept = KeptResult(
            CHANNEL,
            query,
            MessageSearch(stored.database),
            ResultReads(stored.search, orders_by_code_point=True),
            self.head,
            keeps=keeps,
        )

    async def head(self) -> Head:
        self.reads += 1
        return Head(self.newest, self.newest, self.newest - len(self.there))

    def change(self, comes: bool, message: Message) -> bool:
        """Store or delete a message, and tell the result; return whether it may have changed."""
        if comes:
            self.there.append(message)
            assert message.sequence is not None
            self.newest = max(self.newest, message.sequence)
        else:
            self.there.remove(message)
        self.stale = True
        gone_at = None if comes else self.newest + 1
        if gone_at is not None:
            self.newest = gone_at  # a retraction takes a place of its own
        return self.accepts(message) and self.kept.apply(message, gone_at)

    def run(self, asked: Coroutine[Any, Any, T]) -> T:
        """Return what is answered while the table holds what is there."""
        if self.stale:
            self.stored.store(self.there, self.newest)
            self.stale = False
        return self.stored.run(asked)

    def found(self, part: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Return what the result says of a part, and what a fresh search says."""

        async def both() -> tuple[Any, Any]:
            return await part(self.kept), await part(MessageSearch(self.stored.database))

        return self.run(both())


def parts(query: MessageQuery, field: FieldPath, functions: set[AggregateFunction]) -> list[Any]:
    """Return all that can be asked of a result, in a form that compares by value."""

    async def count(search: Any) -> int:
        found: int = await search.total_count(CHANNEL, query)
        return found

    async def whole(search: Any) -> object:
        return comparable(await search.aggregate(CHANNEL, query, field, functions))

    async def page(search: Any) -> object:
        found = await search.page_of_messages(CHANNEL, query)
        alone = await search.messages(CHANNEL, query)
        assert sequences(alone) == sequences(found.rows)
        return sequences(found.rows), found.has_next, found.has_previous

    async def groups(search: Any) -> object:
        found = await search.page_of_groups(CHANNEL, query)
        assert await search.groups(CHANNEL, query) == found.rows
        keys = [row.key_json for row in found.rows]
        rows = await search.group_aggregates(CHANNEL, query, keys, field, functions)
        members = await search.group_messages(CHANNEL, query, keys, 2)
        shown = [
            (order_key(decode_json(row.key_json)), row.count, comparable(aggregate), sequences(two))
            for row, aggregate, two in zip(found.rows, rows, members, strict=True)
        ]
        return shown, found.has_next, found.has_previous

    return [count, whole, page] if query.group_by is None else [count, groups]


@settings(PROPERTY, max_examples=25)
@given(st.data())
def test_it_is_what_a_fresh_search_finds(stored: Stored, data: st.DataObject) -> None:
    # Each retraction takes a place between two of them.
    drawn = [replace(one, sequence=100 * (one.sequence or 0)) for one in data.draw(messages())]
    query = data.draw(queries(drawn, grouped=data.draw(st.booleans())))
    query = replace(query, after=None, before=None)
    field = data.draw(fields(drawn))
    functions = data.draw(st.sets(st.sampled_from(AggregateFunction), min_size=1))
    live = Live(stored, query)
    asked = parts(query, field, functions)
    before: list[Any] = []
    changed = True
    for comes, message in data.draw(changes(drawn)):
        changed |= live.change(comes, message)
        if data.draw(st.integers(0, 2)) == 0:
            continue  # several changes before anybody looks
        found = []
        for part in asked:
            kept, fresh = live.found(part)
            if part.__name__ in ("whole", "groups"):
                kept, fresh = only(kept, functions), only(fresh, functions)
            assert kept == fresh, (query, part.__name__)
            found.append(kept)
        assert changed or found == before
        before, changed = found, False


def only(found: Any, functions: set[AggregateFunction]) -> Any:
    """Leave out of aggregates what nobody asked for."""
    places = {
        AggregateFunction.COUNT: (0,),
        AggregateFunction.MIN: (1,),
        AggregateFunction.MAX: (2,),
        AggregateFunction.SUM: (3,),
        AggregateFunction.AVG: (4,),
        AggregateFunction.DISTINCT: (5,),
    }
    wanted = [place for function in functions for place in places[function]]
    if len(found) == 6:
        return [found[place] for place in wanted]
    shown, *rest = found
    return [(key, count, [row[p] for p in wanted], two) for key, count, row, two in shown], *rest


def test_a_poll_is_read_once_and_never_again(stored: Stored) -> None:
    live = Live(stored, POLL)
    (_, groups) = parts(POLL, FieldPath("data", ("n",)), {AggregateFunction.AVG})
    votes = published([{"liked": n % 3, "n": n} for n in range(30)])
    for vote in votes:
        live.change(True, vote)
        kept, fresh = live.found(groups)
        assert only(kept, {AggregateFunction.AVG}) == only(fresh, {AggregateFunction.AVG})
    assert live.reads == 2  # the groups, and what the field comes to in each


def test_messages_that_come_while_it_is_read_are_in_it_once(stored: Stored) -> None:
    live = Live(stored, POLL)
    first, second, third = published([{"liked": True}] * 3)
    live.change(True, first)
    original = live.kept._reads.groups

    async def slow(*arguments: Any) -> Any:
        found = await original(*arguments)
        live.there += [second, third]
        live.newest = 3
        for message in (first, second, third):  # the feed may be behind the table
            live.kept.apply(message)
        return found

    live.kept._reads.groups = slow  # type: ignore[method-assign,assignment]
    (row,) = live.run(live.kept.groups(CHANNEL, POLL))
    assert row.count == 3


@pytest.mark.parametrize("before_the_read", [True, False])
def test_messages_that_are_retracted_while_it_is_read_are_removed_once(
    stored: Stored, before_the_read: bool
) -> None:
    """The read looks at no message after its head, but misses all that was retracted since."""
    live = Live(stored, POLL)
    votes = published([{"liked": True}] * 3)
    for vote in votes:
        live.change(True, vote)
    original = live.kept._reads.groups

    async def slow(*arguments: Any) -> Any:
        if before_the_read:
            await retract()
        found = await original(*arguments)
        if not before_the_read:
            await retract()
        # The feed is behind the table: it brings both now.
        live.kept.apply(late)
        live.kept.apply(votes[1], 5)
        live.kept.apply(late, 6)
        return found

    late = replace(votes[0], sequence=4, id=str(UUID(int=4)))

    async def retract() -> None:
        """The second vote, and a fourth that has come and gone since the head was read."""
        connection = stored.database
        await connection.fetch("DELETE FROM messages WHERE sequence = 2")
        await connection.fetch("UPDATE channels SET head = 6, removed = 3")

    live.kept._reads.groups = slow  # type: ignore[method-assign,assignment]
    (row,) = live.run(live.kept.groups(CHANNEL, POLL))
    assert row.count == 2


def test_one_that_takes_too_much_memory_is_searched_for(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = MessageQuery(group_by=FieldPath("data"))
    counted = {AggregateFunction.COUNT}
    for most in (2, 1_000_000):
        monkeypatch.setattr(kept_result, "_GROUPS_MAX", most)
        if most > 2:  # the bytes are what is too much then
            monkeypatch.setattr(kept_result, "_BYTES_MAX", 2_000)
        live = Live(stored, query)
        for message in published([1, 2, 3] if most == 2 else list(range(20))):
            live.change(True, message)
        kept, fresh = live.found(parts(query, FieldPath("data"), counted)[1])
        assert only(kept, counted) == only(fresh, counted)
        assert live.kept.size == 0
    # Whatever comes may change it.
    assert live.kept.apply(replace(published([1])[0], sequence=99))


def test_a_value_too_large_to_compare_ends_the_keeping(stored: Stored) -> None:
    query = MessageQuery(group_by=FieldPath("data"))
    live = Live(stored, query)
    small, large = published([1, [[]] * 1_000])
    live.change(True, small)
    counted = {AggregateFunction.COUNT}
    groups = parts(query, FieldPath("data"), counted)[1]
    live.found(groups)
    assert live.kept.size > 0
    assert live.change(True, large)
    kept, fresh = live.found(groups)
    assert only(kept, counted) == only(fresh, counted)
    assert live.kept.size == 0


def test_a_page_deep_in_the_channel_is_not_kept(stored: Stored) -> None:
    query = MessageQuery(offset=5_000)
    live = Live(stored, query)
    live.run(live.kept.messages(CHANNEL, query))
    assert (live.reads, live.kept.size) == (0, 0)


def test_one_with_cursors_is_searched_for(stored: Stored) -> None:
    (first, second) = published([1, 2])
    query = MessageQuery(after=first.id)
    live = Live(stored, query)
    for message in (first, second):
        live.change(True, message)
    assert sequences(live.run(live.kept.messages(CHANNEL, query))) == [2]
    assert live.kept.size == 0


def test_an_order_that_the_database_has_not_is_searched_for(stored: Stored) -> None:
    """In a database of another collation strings are sorted as it does."""
    query = MessageQuery(sort_field=FieldPath("data", ("name",)))
    live = Live(stored, query)
    live.kept._reads.orders_by_code_point = False
    live.run(live.kept.messages(CHANNEL, query))
    assert live.kept.size == 0
    live.run(live.kept.total_count(CHANNEL, query))
    assert live.kept.size > 0


def test_a_read_that_fails_is_told_and_tried_again(stored: Stored) -> None:
    live = Live(stored, MessageQuery())

    async def fails() -> Head:
        raise ValueError("away")

    works, live.kept._head = live.kept._head, fails
    with pytest.raises(ValueError, match="away"):
        live.run(live.kept.total_count(CHANNEL, MessageQuery()))
    live.kept._head = works
    assert live.run(live.kept.total_count(CHANNEL, MessageQuery())) == 0


def test_a_read_that_is_refused_for_the_crowd_is_waited_out_by_who_watches(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand who subscribed at once were told UNAVAILABLE first, most of them."""
    monkeypatch.setattr(kept_result, "_AGAIN_SECONDS", (0.0, 0.001))
    live = Live(stored, MessageQuery())
    works, refusals = live.kept._head, [Unavailable("too many", 250)] * 3

    async def refused() -> Head:
        if refusals:
            raise refusals.pop()
        return await works()

    live.kept._head = refused
    with pytest.raises(Unavailable):
        live.run(live.kept.total_count(CHANNEL, MessageQuery()))
    assert len(refusals) == 2
    live.kept.is_watched = True
    assert live.run(live.kept.total_count(CHANNEL, MessageQuery())) == 0
    assert not refusals


def test_what_is_read_ends_with_it(stored: Stored) -> None:
    live = Live(stored, MessageQuery())

    async def never() -> Head:
        await asyncio.Event().wait()
        raise AssertionError

    async def closed() -> None:
        live.kept._head = never
        asked = asyncio.create_task(live.kept.total_count(CHANNEL, MessageQuery()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        live.kept.close()
        with pytest.raises(asyncio.CancelledError):
            await asked

    stored.run(closed())


def test_heavy_filters_keep_nothing(stored: Stored) -> None:
    wire = MessageQuery()
    live = Live(stored, wire, keeps=CompiledFilters().light is False)
    live.run(live.kept.total_count(CHANNEL, wire))
    assert live.kept.size == 0
