"""Rules in memory: all of them at start, every change soon, and none lost or undone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Unavailable
from app.services.following import Change, Followed, RuleFollower
from tests.delivery.recorded import until

pytestmark = pytest.mark.anyio


class Table:
    """What the database has: rows by key, with the version of their last change."""

    def __init__(self) -> None:
        self.version = 0
        self.rows: dict[str, Change[str, int]] = {}
        self.away = False
        self.reads: list[int] = []
        self.looks = 0

    def set(self, key: str, rule: int | None) -> Change[str, int]:
        self.version += 1
        change = self.rows[key] = Change(key, rule, self.version)
        return change

    async def newest(self) -> int:
        self.looks += 1
        if self.away:
            raise Unavailable("the database is unavailable; retry later")
        return self.version

    async def read(self, known: int) -> Sequence[Change[str, int]]:
        if self.away:
            raise Unavailable("the database is unavailable; retry later")
        self.reads.append(known)
        return [row for row in self.rows.values() if row.version > known]


@asynccontextmanager
async def following(table: Table) -> AsyncIterator[Followed[str, int]]:
    followed = Followed[str, int]("numbers", table.read)
    follower = RuleFollower(table.newest, [followed], interval_seconds=0.005)
    await follower.start()
    try:
        yield followed
    finally:
        await follower.stop()


async def test_all_are_known_when_it_has_started() -> None:
    table = Table()
    table.set("one", 1)
    table.set("gone", 1)
    table.set("gone", None)
    async with following(table) as followed:
        assert followed.rules == {"one": 1}


async def test_a_change_elsewhere_is_read_and_told_once() -> None:
    table = Table()
    table.set("one", 1)
    async with following(table) as followed:
        told: list[tuple[str, int | None]] = []
        followed.listen(lambda key, rule: told.append((key, rule)))
        table.set("two", 2)
        await until(lambda: "two" in followed.rules)
        table.set("one", None)
        await until(lambda: "one" not in followed.rules)
        looks = table.looks
        await until(lambda: table.looks > looks + 3)
    assert told == [("two", 2), ("one", None)]
    assert table.reads == [-1, 1, 2]  # only what changed since, and only when something did


async def test_what_is_known_holds_while_the_database_is_away() -> None:
    table = Table()
    table.set("one", 1)
    async with following(table) as followed:
        table.away = True
        table.set("one", 2)
        looks = table.looks
        await until(lambda: table.looks > looks + 2)
        assert followed.rules == {"one": 1}
        table.away = False
        await until(lambda: followed.rules == {"one": 2})


async def test_the_start_waits_for_the_database() -> None:
    table = Table()
    table.set("one", 1)
    table.away = True
    followed = Followed[str, int]("numbers", table.read)
    follower = RuleFollower(table.newest, [followed], interval_seconds=0.005)
    start = asyncio.create_task(follower.start())
    await until(lambda: table.looks > 2)
    assert not start.done()
    table.away = False
    await start
    assert followed.rules == {"one": 1}
    await follower.stop()
    await follower.stop()


async def test_a_start_without_the_database_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.following._START_SECONDS", 0.02)
    table = Table()
    table.away = True
    follower = RuleFollower(table.newest, [], interval_seconds=0.005)
    with pytest.raises(Unavailable):
        await follower.start()
    assert table.looks > 1


async def test_a_change_of_this_process_holds_at_once_and_is_told_once() -> None:
    table = Table()
    async with following(table) as followed:
        told: list[tuple[str, int | None]] = []
        followed.listen(lambda key, rule: told.append((key, rule)))
        followed.apply(table.set("one", 1))
        assert followed.rules == {"one": 1}
        await until(lambda: bool(table.reads) and table.reads[-1] >= 0)
        assert told == [("one", 1)]


async def test_a_change_that_is_applied_late_undoes_no_later_one() -> None:
    """Of another process: the poll read it before this process came to apply its own."""
    table = Table()
    async with following(table) as followed:
        own = table.set("one", 1)
        table.set("one", 2)
        await until(lambda: followed.rules == {"one": 2})
        followed.apply(own)
        assert followed.rules == {"one": 2}


async def test_a_database_restored_from_a_backup_is_read_anew() -> None:
    table = Table()
    table.set("one", 1)
    table.set("two", 2)
    async with following(table) as followed:
        table.version = 1
        table.rows = {"one": Change("one", 7, 1)}
        await until(lambda: followed.rules == {"one": 7})


async def test_a_listener_that_fails_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    table = Table()
    async with following(table) as followed:
        told: list[str] = []

        def fail(_key: str, _rule: int | None) -> None:
            raise ValueError

        followed.listen(fail)
        followed.listen(lambda key, _rule: told.append(key))
        table.set("one", 1)
        await until(lambda: told == ["one"])
    assert "a listener to numbers failed" in caplog.text


async def test_a_defect_of_one_look_does_not_end_the_poll(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.delivery.supervision.AGAIN_SECONDS", 0.001)
    table = Table()
    async with following(table) as followed:
        rows, table.rows = table.rows, None  # type: ignore[assignment]
        table.version += 1
        await until(lambda: "poll of the rules failed" in caplog.text)
        table.rows = rows
        table.set("one", 1)
        await until(lambda: followed.rules == {"one": 1})


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["elsewhere", "here", "look", "late"]),
            st.sampled_from("abc"),
            st.none() | st.integers(0, 3),
        ),
        max_size=30,
    )
)
def test_whatever_the_order_of_reads_and_changes_the_newest_row_wins(
    steps: list[tuple[str, str, int | None]],
) -> None:
    """`late`: what a poll read arrives after a change that this process made meanwhile."""
    table = Table()
    applied: list[Change[str, int]] = []

    async def read(known: int) -> Sequence[Change[str, int]]:
        rows = await table.read(known)
        for key, rule in meanwhile:
            change = table.set(key, rule)
            followed.apply(change)
            applied.append(change)
        meanwhile.clear()
        return rows

    meanwhile: list[tuple[str, int | None]] = []
    followed = Followed[str, int]("numbers", read)
    follower = RuleFollower(table.newest, [followed])

    async def drive() -> None:
        for step, key, rule in steps:
            match step:
                case "elsewhere":
                    table.set(key, rule)
                case "here":
                    followed.apply(table.set(key, rule))
                case "late":
                    meanwhile.append((key, rule))
                case _:
                    await follower._look()
            for change in applied:
                assert table.rows[change.key] is not change or (
                    followed.rules.get(change.key) == change.rule
                )
        await follower._look()
        await follower._look()
        expected = {key: row.rule for key, row in table.rows.items() if row.rule is not None}
        assert followed.rules == expected

    asyncio.run(drive())
