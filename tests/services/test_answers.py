"""An answer from memory is never older than the question."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.channel import Channel
from app.domain.message import Head
from app.errors import Unavailable
from app.services.answers import Answers

pytestmark = pytest.mark.anyio

CHANNEL = Channel("p", "w")


class Table:
    """A channel that a test publishes to, and its answers: the number of its messages."""

    def __init__(self) -> None:
        self.head = Head(1, 1)
        self.looks = 0
        self.reads = 0
        self.away = False
        self.may_read = asyncio.Event()
        self.may_read.set()

    def publish(self) -> None:
        self.head = self.head._replace(sequence=self.head.sequence + 1)

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        self.looks += 1
        head = self.head
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("away")
        return dict.fromkeys(channels, head)

    async def read(self) -> bytes:
        self.reads += 1
        answer = b"%d" % self.head.sequence
        await self.may_read.wait()
        if self.away:
            raise Unavailable("away, in the words of the query")
        return answer


async def turns() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def asked(answers: Answers, table: Table, times: int, key: bytes = b"key") -> list[bytes]:
    return [await answers.answer(CHANNEL, key, table.read) for _ in range(times)]


async def test_what_is_asked_once_costs_no_look_and_what_is_asked_again_is_read_once() -> None:
    table = Table()
    answers = Answers(table)
    await asked(answers, table, 1)
    assert (table.looks, table.reads) == (0, 1)
    await asked(answers, table, 5)
    assert (table.looks, table.reads) == (5, 2)
    assert (answers.hits, answers.misses) == (4, 2)


async def test_a_message_changes_the_answer_for_the_next_who_asks() -> None:
    table = Table()
    answers = Answers(table)
    assert await asked(answers, table, 3) == [b"1"] * 3
    table.publish()
    assert await asked(answers, table, 2) == [b"2"] * 2
    assert table.reads == 3


async def test_a_removal_changes_it_too() -> None:
    table = Table()
    answers = Answers(table)
    await asked(answers, table, 3)
    table.head = table.head._replace(removed=1)
    await asked(answers, table, 1)
    assert table.reads == 3


async def test_all_who_ask_at_once_share_one_look_and_one_read() -> None:
    table = Table()
    answers = Answers(table)
    await asked(answers, table, 1)
    table.may_read.clear()
    waiting = [asyncio.create_task(asked(answers, table, 1)) for _ in range(50)]
    await turns()
    table.may_read.set()
    assert await asyncio.gather(*waiting) == [[b"1"]] * 50
    assert (table.looks, table.reads) == (1, 2)


async def test_a_read_that_began_before_a_message_is_not_shared_after_it() -> None:
    table = Table()
    answers = Answers(table)
    await asked(answers, table, 1)
    table.may_read.clear()
    early = asyncio.create_task(asked(answers, table, 1))
    await turns()
    table.publish()
    late = asyncio.create_task(asked(answers, table, 1))
    await turns()
    table.may_read.set()
    assert (await early, await late) == ([b"1"], [b"2"])
    assert await asked(answers, table, 1) == [b"2"]
    assert table.reads == 3


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    table = Table()
    answers = Answers(table)
    await asked(answers, table, 1)
    table.may_read.clear()
    gone, stays = [asyncio.create_task(asked(answers, table, 1)) for _ in range(2)]
    await turns()
    gone.cancel()
    await turns()
    table.may_read.set()
    assert await stays == [b"1"]
    assert table.reads == 2


async def test_without_a_look_the_answer_is_read() -> None:
    table = Table()
    answers = Answers(table)
    await asked(answers, table, 3)
    table.away = True
    with pytest.raises(Unavailable, match="in the words of the query"):
        await asked(answers, table, 1)
    table.away = False
    assert await asked(answers, table, 1) == [b"1"]


async def test_a_failure_is_not_kept() -> None:
    table = Table()
    answers = Answers(table)
    await asked(answers, table, 1)

    async def fails() -> bytes:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        await answers.answer(CHANNEL, b"key", fails)
    assert await asked(answers, table, 1) == [b"1"]


async def test_nobody_is_refused_for_what_another_one_asked() -> None:
    table = Table()
    answers = Answers(table)
    await asked(answers, table, 1)
    may_fail = asyncio.Event()

    async def refused() -> bytes:
        await may_fail.wait()
        raise Unavailable("too many of your searches wait")

    greedy = asyncio.create_task(answers.answer(CHANNEL, b"key", refused))
    others = [asyncio.create_task(asked(answers, table, 1)) for _ in range(3)]
    await turns()
    may_fail.set()
    with pytest.raises(Unavailable):
        await greedy
    assert await asyncio.gather(*others) == [[b"1"]] * 3


async def test_what_is_too_large_to_be_told_apart_or_kept_is_read_each_time() -> None:
    table = Table()
    for _ in range(3):
        await Answers(table, 0).answer(CHANNEL, b"key", table.read)
        await Answers(table).answer(CHANNEL, None, table.read)
    assert (table.looks, table.reads) == (0, 6)
    answers = Answers(table, 8000)
    large = b"x" * 1001

    async def read() -> bytes:
        table.reads += 1
        return large

    for _ in range(3):
        assert await answers.answer(CHANNEL, b"large", read) == large
    assert table.reads == 9


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 300)), max_size=60))
async def test_what_is_kept_is_within_its_bound(questions: list[tuple[int, int]]) -> None:
    answers = Answers(Table(), 4000)
    for number, size in questions:
        payload = b"x" * size

        async def read(payload: bytes = payload) -> bytes:
            return payload

        await answers.answer(CHANNEL, b"%d" % number, read)
        assert answers.held_bytes <= 4000
        assert answers.held_bytes == sum(one.size for one in answers._entries.values())


async def test_the_least_recently_asked_goes_first() -> None:
    table = Table()
    answers = Answers(table, 1500)
    for key in (b"one", b"two", b"one", b"one", b"three", b"one"):
        await asked(answers, table, 1, key)
    assert table.reads == 4
