"""What an index is made of, and that nothing published can fail because of one."""

import pytest

from app.domain.query import FieldPath, parse_query
from app.storage.indexes.builder import building
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.indexes.definitions import BUILT_IN, NAME_PREFIX, IndexDefinition, key_of
from app.storage.search import MessageSearch
from tests.domain.query.strategies import CHANNEL, SEGMENTS
from tests.storage.indexes.conftest import index_on
from tests.storage.indexes.values import LONG
from tests.storage.stored import VALUES, Stored, published, sequences

_HOSTILE = [
    *SEGMENTS,
    *("x'; DROP TABLE messages; --", "\\'", "\\x24", "$1", "$$", "%s", ":name", "}", "__proto__"),
    *("?", "a]::text[]", "E'", "\n", "x" * 240),
]


def test_equal_paths_are_one_index_and_the_order_matters() -> None:
    assert index_on("a", "b") == index_on("a", "b")
    assert index_on("a", "b").name != index_on("b", "a").name
    assert index_on("a.b").name != index_on("a", "b").name
    assert index_on("a").name.startswith(NAME_PREFIX)
    assert len(index_on("a" * 200).name) < 63, "Postgres cuts longer names"


@pytest.mark.parametrize("path", _HOSTILE)
def test_an_index_comes_back_from_its_text(path: str) -> None:
    index = IndexDefinition.on([FieldPath("data", (path, "x"))])
    assert IndexDefinition.from_json(index.paths_json) == index


def test_columns_are_their_own_keys() -> None:
    assert [str(key_of(index.fields[0])) for index in BUILT_IN] == [
        "messages.client_id",
        "messages.username",
    ]


def test_any_path_can_be_indexed(stored: Stored, database_url: str) -> None:
    """Its text is part of the statement that builds the index, and of those it serves."""
    messages = published([{path: path} for path in _HOSTILE])
    stored.store(messages)
    indexes = SearchIndexes()
    search = MessageSearch(stored.database, indexes=indexes)
    for place, path in enumerate(_HOSTILE, 1):
        index = IndexDefinition.on([FieldPath("data", (path,))])
        # As the builder does, without its waiting for others.
        stored.run(stored.database.fetch(index.create_sql.replace(" CONCURRENTLY", "")))
        indexes.refresh([index], strings_in_order=True)
        # A path of a query is no segment: dots are its own.
        field = {"field": f"data.{path}", "operator": "EQ", "value": path}
        for query in (
            {"filters": [field]},
            {"filters": [{**field, "operator": "IN", "value": [path, "y"]}]},
            {"filters": [{**field, "operator": "GTE"}], "sortField": f"data.{path}"},
            {"filters": [{**field, "operator": "EXISTS", "value": True}]},
        ):
            found = stored.run(search.messages(CHANNEL, parse_query(query)))
            assert sequences(found) == [place], (path, query)
        stored.run(stored.database.fetch(f"DROP INDEX {index.name}"))


def test_nothing_fails_to_be_stored_because_of_an_index(stored: Stored, database_url: str) -> None:
    async def build() -> None:
        async with building(database_url) as builder:
            assert builder is not None
            await builder.build(index_on("a", "b", "c", "d", "e"))

    stored.run(build())
    hostile = [
        *(*VALUES, *LONG, "\U0001f600" * 15_000, "x" * 60_000, "\\" * 30_000, list(range(9_000))),
        *({str(key): "x" * 50 for key in range(900)}, ["\U0001f600" * 200] * 50, 10**308),
    ]
    deep: object = []
    for _ in range(60):
        deep = [deep]
    messages = published([dict.fromkeys("abcde", value) for value in [*hostile, deep]])
    stored.store(messages)
    huge = "1" * 130_000
    # What no publish may send, and another program may write.
    stored.run(
        stored.database.fetch(
            "UPDATE messages SET data = jsonb_set(data, '{a}', $1::jsonb)", huge.encode()
        )
    )
    count = stored.run(stored.database.fetch("SELECT count(*) FROM messages"))
    assert count[0][0] == len(messages)
