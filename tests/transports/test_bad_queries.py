"""What a query can get wrong, on GraphQL and on the legacy socket: one code, one message."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import connect

from app.embedded.postgres import EmbeddedPostgres
from tests.conftest import cloned
from tests.hosted import hosted

_BAD: Final = "BAD_USER_INPUT"
_UNKNOWN: Final = "UNKNOWN_CURSOR"

_SQL: Final = "'; DROP TABLE messages; --"
_KEYS: Final = [
    *("'", '"', "{}", "{a,b}", "}", "$", "$1", "__proto__", "constructor", "\\", "%s"),
    *(":x", "[0]", "NULL", "a b", "\u202e", _SQL, "x" * 251, "-1e5", "é", "\U0001f600"),
]
"""Keys that some other language would read: here they are keys."""
_MIXED: Final = [None, "b", "a", 10, 9, True, False, [1], {"a": 1}, []]

_QUERY: Final = (
    "query ($widget: ID!, $query: MessageQuery!) "
    '{ messages(projectId: "p", widgetId: $widget, query: $query) '
    "{ totalCount messages { data } groups { key count } } }"
)
_INSERT: Final = """
    INSERT INTO messages (channel, sequence, id, client_id, created, data)
    SELECT $1, n, md5($1 || n)::uuid, 'c', n, data
    FROM unnest($2::jsonb[]) WITH ORDINALITY AS given(data, n)
"""
_COUNT: Final = "INSERT INTO channels (channel, head, last_created) VALUES ($1, $2, $2)"


@dataclass
class Service:
    """A running service with some channels."""

    runner: asyncio.Runner
    host: str
    http: httpx.AsyncClient
    database_url: str

    def store(self, widget: str, datas: list[Any]) -> list[str]:
        """Store messages, and return their ids."""

        async def store() -> list[str]:
            connection = await asyncpg.connect(self.database_url)
            try:
                texts = [json.dumps(data) for data in datas]
                await connection.execute(_INSERT, f"p/{widget}", texts)
                await connection.execute(_COUNT, f"p/{widget}", len(texts))
                found = await connection.fetch(
                    "SELECT id FROM messages WHERE channel = $1 ORDER BY sequence", f"p/{widget}"
                )
                return [str(row["id"]) for row in found]
            finally:
                await connection.close()

        return self.runner.run(store())

    def both(self, query: dict[str, Any], widget: str = "w") -> tuple[Any, Any]:
        """Return what GraphQL answers, and what the legacy socket does."""
        return self.runner.run(self._graphql(query, widget)), self.runner.run(
            self._legacy(query, widget)
        )

    async def _graphql(self, query: dict[str, Any], widget: str) -> Any:
        variables = {"widget": widget, "query": query}
        answer = await self.http.post("/graphql", json={"query": _QUERY, "variables": variables})
        return answer.json()

    async def _legacy(self, query: dict[str, Any], widget: str) -> Any:
        async with connect(f"ws://{self.host}/c8/p/{widget}") as socket:
            await socket.send('{"type":"open"}')
            await socket.send(json.dumps({"type": "search", "ref": 1, "query": query}))
            async for text in socket:
                frame = json.loads(text)
                if frame.get("ref") == 1:
                    return frame
        return None

    def data(self, widget: str = "w", **query: Any) -> list[Any]:
        """Return the data of the messages that both find."""
        graphql, legacy = self.both(query, widget)
        assert "errors" not in graphql, graphql
        found = [one["data"] for one in graphql["data"]["messages"]["messages"]]
        assert [one["data"] for one in legacy["resultSet"]] == found
        assert legacy["totalRecords"] == graphql["data"]["messages"]["totalCount"]
        return found

    def groups(self, widget: str = "w", **query: Any) -> list[Any]:
        """Return the keys of the groups that both find."""
        graphql, legacy = self.both(query, widget)
        assert "errors" not in graphql, graphql
        assert legacy["resultSet"] == graphql["data"]["messages"]["groups"]
        assert legacy["totalRecords"] == graphql["data"]["messages"]["totalCount"]
        return [one["key"] for one in legacy["resultSet"]]

    def refusal(self, query: dict[str, Any]) -> tuple[str, str]:
        """Return the code and the message that both refuse with."""
        graphql, legacy = self.both(query)
        error = graphql["errors"][0]
        refused = error["extensions"]["code"], error["message"]
        assert (legacy["code"], legacy["message"]) == refused
        return refused


@pytest.fixture(scope="module")
def service(postgres: EmbeddedPostgres, template_database: str) -> Iterator[Service]:
    for url in cloned(postgres, template_database):
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            host = runner.run(stack.enter_async_context(hosted(url)))
            http = httpx.AsyncClient(base_url=f"http://{host}", timeout=20)
            yield Service(runner, host, http, url)
            runner.run(http.aclose())
            runner.run(stack.aclose())


def _is(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"filters": [{"field": field, "operator": operator, "value": value}]}


def _nested(levels: int) -> dict[str, Any]:
    one: dict[str, Any] = {"field": "data", "operator": "EQ", "value": 1}
    for _ in range(levels - 1):
        one = {"not": one}
    return {"filters": [one]}


_ONE: Final = _is("data", "EQ", 1)["filters"]
_NOWHERE: Final = "01890000-0000-7000-8000-000000000000"
_FIELDS: Final = "allowed: id, client_id (or clientId), created, username, data, or a path below"
_ORDER: Final = "it pages in publish order: omit groupBy, and omit sortField or set it to created"
_SORTS: Final = (
    "allowed with groupBy: count, key, or one of count, distinct, sum, avg, min, max of a "
    "field, such as max(data.score)"
)
_CURSOR: Final = "expected the id of a stored message of this channel"

REFUSED: Final[list[tuple[str, dict[str, Any], str, str]]] = [
    # Paths.
    ("two dots", _is("data..a", "EQ", 1), _BAD, "filters[0].field is 'data..a'; segments between"),
    ("a dot at the end", {"sortField": "data."}, _BAD, "sortField is 'data.'; segments between"),
    ("a path of a column", {"sortField": "created.at"}, _BAD, f"'created.at'; {_FIELDS}"),
    ("no field", {"groupBy": "__proto__"}, _BAD, f"groupBy is '__proto__'; {_FIELDS}"),
    ("SQL as a field", {"sortField": _SQL}, _BAD, f'sortField is "{_SQL}"; {_FIELDS}'),
    (
        "a name of 1 kB",
        _is("data." + "n" * 1024, "EQ", 1),
        _BAD,
        "filters[0].field has 1029 characters, at most 256 are allowed",
    ),
    (
        "33 segments",
        {"groupBy": "data" + ".a" * 32},
        _BAD,
        "groupBy has 33 segments, at most 32 are allowed",
    ),
    # Filters.
    (
        "IN of 1,001",
        _is("data.a", "IN", list(range(1001))),
        _BAD,
        "filters[0].value has 1001 items; IN needs a list of at most 1000 values",
    ),
    (
        "nine levels",
        _nested(9),
        _BAD,
        "filters[0]" + ".not" * 8 + " is nested too deeply, at most 8 levels of filters",
    ),
    (
        "65 comparisons",
        {"filters": [{"or": _ONE * 65}]},
        _BAD,
        "filters[0].or[64] exceeds the limit of 64 comparisons",
    ),
    (
        "created and a string",
        _is("created", "GT", "2026-01-01"),
        _BAD,
        "filters[0].value is '2026-01-01'; created is a number, milliseconds since the Unix epoch; "
        "expected a number",
    ),
    (
        "created in strings",
        _is("created", "IN", [1, "2"]),
        _BAD,
        "filters[0].value[1] is '2'; created is a number",
    ),
    (
        "a user by number",
        _is("username", "EQ", 7),
        _BAD,
        "filters[0].value is 7; username is a string, or null for an anonymous client; "
        "expected a string or null",
    ),
    (
        "a client that is null",
        _is("clientId", "EQ", None),
        _BAD,
        "filters[0].value is null; client_id is a string; expected a string",
    ),
    # Cursors.
    ("an unknown cursor", {"after": _NOWHERE}, _UNKNOWN, f"after is '{_NOWHERE}'; {_CURSOR}"),
    ("an empty page of one", {"before": _NOWHERE, "limit": 0}, _UNKNOWN, "before is '0189"),
    ("a cursor of no id", {"before": "@1"}, _UNKNOWN, f"before is '@1'; {_CURSOR}"),
    ("an empty cursor", {"after": ""}, _UNKNOWN, f"after is ''; {_CURSOR}"),
    ("SQL as a cursor", {"after": _SQL}, _UNKNOWN, f'after is "{_SQL}"; {_CURSOR}'),
    (
        "a long cursor",
        {"after": "1" * 129},
        _BAD,
        "after has 129 characters, at most 128 are allowed",
    ),
    (
        "before with groupBy",
        {"before": _NOWHERE, "groupBy": "data.a"},
        _BAD,
        f"before cannot be combined with groupBy; {_ORDER}",
    ),
    (
        "after by score",
        {"after": _NOWHERE, "sortField": "data.score", "sortOrder": "DESC"},
        _BAD,
        f"after cannot be combined with sortField data.score; {_ORDER}",
    ),
    # Groups.
    (
        "groups by a field",
        {"groupBy": "data.a", "sortField": "data.b"},
        _BAD,
        f"sortField is 'data.b'; {_SORTS}",
    ),
    (
        "an unknown function",
        {"groupBy": "data.a", "sortField": "median(data.b)"},
        _BAD,
        f"sortField is 'median(data.b)'; {_SORTS}",
    ),
    (
        "an aggregate of nothing",
        {"groupBy": "data.a", "sortField": "max()"},
        _BAD,
        f"the field of max in query.sortField is ''; {_FIELDS}",
    ),
    (
        "an aggregate without groups",
        {"sortField": "max(data.score)"},
        _BAD,
        "sortField is 'max(data.score)', which needs groupBy; allowed: id",
    ),
    # Pages.
    ("a page of 1,001", {"limit": 1001}, _BAD, "limit is 1001; allowed: whole numbers from 0"),
    ("a far page", {"offset": 100_001}, _BAD, "offset is 100001; allowed: whole numbers from"),
]


@pytest.mark.parametrize(
    ("query", "code", "says"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_a_mistake_is_refused_alike_on_both(
    service: Service, query: dict[str, Any], code: str, says: str
) -> None:
    refused, message = service.refusal(query)
    assert refused == code
    assert says in message


def test_any_key_is_a_key(service: Service) -> None:
    service.store("keys", [{key: n} for n, key in enumerate(_KEYS, 1)])
    for n, key in enumerate(_KEYS, 1):
        field = f"data.{key}"
        assert service.data("keys", **_is(field, "EQ", n), sortField=field) == [{key: n}]
        by = {"sortField": f"max({field})", "limit": 1}
        assert service.groups("keys", groupBy=field, **by) == [n]


def test_a_dot_is_always_between_two_keys(service: Service) -> None:
    service.store("dots", [{"a.b": 1}, {"a": {"b": 1}}])
    assert service.data("dots", **_is("data.a.b", "EQ", 1)) == [{"a": {"b": 1}}]


def test_a_path_of_mixed_types_sorts_by_type_and_then_by_value(service: Service) -> None:
    service.store("mixed", [{"a": value} for value in _MIXED] + [{}])
    ordered = [[], None, "a", "b", 9, 10, False, True, [1], {"a": 1}]
    missing: list[Any] = [{}]
    expected = [{"a": value} for value in ordered]
    assert service.data("mixed", sortField="data.a") == expected + missing
    assert service.data("mixed", sortField="data.a", sortOrder="DESC") == expected[::-1] + missing


def test_a_cursor_of_another_channel_is_unknown(service: Service) -> None:
    elsewhere = service.store("elsewhere", [1])[0]
    assert service.data("elsewhere", after=elsewhere) == []
    code, message = service.refusal({"after": elsewhere})
    assert (code, message) == (_UNKNOWN, f"query.after is '{elsewhere}'; {_CURSOR}")


def test_there_may_be_more_groups_than_pages_show(service: Service) -> None:
    """The bound is that of a page and of what may be skipped; all of them are counted."""
    service.store("groups", list(range(10_001)))
    assert service.groups("groups", groupBy="data", offset=10_000, limit=5) == [10_000]
    by_value = {"groupBy": "data", "sortField": "max(data)", "limit": 2}
    assert service.groups("groups", **by_value) == [10_000, 9_999]
    graphql, legacy = service.both({"groupBy": "data"}, "groups")
    assert graphql["data"]["messages"]["totalCount"] == legacy["totalRecords"] == 10_001
