"""What processes tell the database of searches, and what it knows of indexes."""

import pytest

from app.domain.channel import Channel
from app.storage.database import Database
from app.storage.indexes import registry
from app.storage.indexes.decisions import Known
from app.storage.indexes.demand import Noted
from tests.storage.indexes.conftest import index_on

pytestmark = pytest.mark.anyio

_LARGE, _SMALL = Channel("p", "large").key, Channel("p", "small").key


@pytest.fixture(autouse=True)
async def channels(database: Database) -> None:
    await database.fetch(
        "INSERT INTO channels (channel, head, removed) VALUES ($1, 20000, 0), ($2, 20000, 15000)",
        *(_LARGE, _SMALL),
    )


def _noted(path: str, channel: str | None = _LARGE, *, matched: int = 10) -> Noted:
    return Noted(index_on(path), channel, uses=3, seconds=1.5, matched=matched)


async def _known(database: Database) -> list[Known]:
    return (await registry.read(database.fetch)).shapes


async def test_what_several_processes_tell_adds_up(database: Database) -> None:
    for _ in range(2):
        await registry.tell(database.fetch, [_noted("a"), _noted("b", None)], 10_000)
    a, b = sorted(await _known(database), key=lambda one: str(one.index.fields))
    assert (a.index, a.valid, a.kept, a.built_seconds) == (index_on("a"), None, False, None)
    assert [a.uses, a.seconds] == pytest.approx([6, 3], abs=0.01)
    assert b.uses == pytest.approx(6, abs=0.01)


async def test_a_day_later_it_counts_half(database: Database) -> None:
    await registry.tell(database.fetch, [_noted("a")], 10_000)
    await database.fetch("UPDATE search_shapes SET used_at = now() - interval '1 day'")
    (known,) = await _known(database)
    assert [known.uses, known.seconds] == pytest.approx([1.5, 0.75])
    await registry.tell(database.fetch, [_noted("a")], 10_000)
    (known,) = await _known(database)
    assert known.uses == pytest.approx(4.5, abs=0.01)


@pytest.mark.parametrize("age", ["10 years", "-10 years"])
async def test_years_of_disuse_or_a_clock_that_was_set_back_are_no_error(
    database: Database, age: str
) -> None:
    """Reading what is known once failed three years after a search was asked for last."""
    await registry.tell(database.fetch, [_noted("a")], 10_000)
    await database.fetch(f"UPDATE search_shapes SET used_at = now() - interval '{age}'")
    (known,) = await _known(database)
    assert 0 <= known.uses <= 3
    await registry.tell(database.fetch, [_noted("a")], 10_000)
    (known,) = await _known(database)
    assert 3 <= round(known.uses, 3) <= 6


async def test_small_channels_and_searches_that_find_much_ask_for_nothing(
    database: Database,
) -> None:
    noted = [_noted("a", _SMALL), _noted("b", "p/unknown"), _noted("c", matched=2001)]
    await registry.tell(database.fetch, noted, 10_000)
    assert await _known(database) == []
    await registry.tell(database.fetch, [_noted("a", _SMALL), _noted("c", matched=2000)], 5_000)
    assert {one.index for one in await _known(database)} == {index_on("a"), index_on("c")}


async def test_the_shapes_that_are_kept_are_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_SHAPES", 2)
    await database.fetch(index_on("a").create_sql.replace(" CONCURRENTLY", ""))
    noted = [_noted(path) for path in "abcd"]
    noted[2].seconds = 0.1
    await registry.tell(database.fetch, noted, 10_000)
    known = {one.index: one.valid for one in await _known(database)}
    assert known == {index_on("a"): True, index_on("b"): None, index_on("d"): None}


async def test_an_index_is_ready_when_it_is_valid(database: Database) -> None:
    await database.fetch(index_on("a").create_sql.replace(" CONCURRENTLY", ""))
    await registry.note_built(database.fetch, index_on("a"), kept=True)
    known = await registry.read(database.fetch)
    assert known.ready == [index_on("a")]
    assert known.strings_in_order, "the embedded database compares by code point"
    (shape,) = known.shapes
    assert (shape.kept, shape.uses, shape.bytes > 0) == (True, 0, True)
    await database.fetch(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1::text::regclass",
        index_on("a").name,
    )
    known = await registry.read(database.fetch)
    assert (known.ready, known.shapes[0].valid) == ([], False)
    await registry.forget(database.fetch, index_on("a"))
    assert await _known(database) == []
