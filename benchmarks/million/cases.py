"""What is asked of the largest channel: as GraphQL, and of the plain table as SQL."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from benchmarks.million.data import Filled, picked

__all__ = ["CASES", "INDEXES", "SIZED", "Case"]

Query: TypeAlias = Mapping[str, object]

INDEXES: Final = (
    ("data.user",),
    ("data.room",),
    ("data.score",),
    ("data.room", "data.user"),
)
"""The paths of the indexes that the cases ask for."""

_PAGE: Final = "messages { id clientId created data username }"
_FIELDS: Final = "id, client_id, created, data, username"
_FROM: Final = "FROM plain_message WHERE channel = $1"
_RANGE: Final = 1_000
_DEEP: Final = 100_000


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of search.

    `query` and `arguments` are of a channel and the number of a probe: each asks for another
    value. The SQL's first argument is the channel.
    """

    title: str
    goal_ms: float | None
    """At p99, once there are indexes; None: no goal names it."""
    selection: str
    query: Callable[[Filled, int], Query]
    sql: str
    arguments: Callable[[Filled, int], tuple[Any, ...]] = lambda _filled, _probe: ()
    stirred: bool = False
    """Nothing in it varies: before each a message is published, so that no answer is known."""
    watched: bool = False
    """A live query asks for the same meanwhile."""

    @property
    def wants_index(self) -> bool:
        """Whether it asks for one of `INDEXES`, and for a page."""
        return self.same_ids and self.title.startswith("data.")

    @property
    def same_ids(self) -> bool:
        """Whether the plain table's answer has the same messages."""
        return self.selection == _PAGE and not self.stirred


def _message(filled: Filled, probe: int) -> int:
    return picked(probe, filled.messages)


def _equal(field: str, value: object) -> Query:
    return {"field": field, "operator": "EQ", "value": value}


def _newest(*filters: Query) -> Query:
    return {"filters": filters, "sortOrder": "DESC", "limit": 50}


def _score(probe: int) -> int:
    return 90_000 + picked(probe, 9_000)


def _created(filled: Filled, probe: int) -> tuple[int, int]:
    first = picked(probe, max(1, filled.messages - _RANGE))
    return filled.created(first), filled.created(first + _RANGE)


def _created_query(filled: Filled, probe: int) -> Query:
    since, until = _created(filled, probe)
    return {
        "filters": [
            {"field": "created", "operator": "GTE", "value": since},
            {"field": "created", "operator": "LT", "value": until},
        ]
    }


def _deep(filled: Filled) -> int:
    return min(_DEEP, filled.messages // 2)


_NEWEST: Final = Case(
    "newest 50",
    2,
    _PAGE,
    lambda _filled, _probe: _newest(),
    f"SELECT {_FIELDS} {_FROM} ORDER BY sequence DESC LIMIT 50",
    stirred=True,
)
_BY_SCORE: Final = Case(
    "data.score > x sorted by it, top 10",
    2,
    _PAGE,
    lambda _, probe: {
        "filters": [{"field": "data.score", "operator": "GT", "value": _score(probe)}],
        "sortField": "data.score",
        "sortOrder": "DESC",
        "limit": 10,
    },
    f"SELECT {_FIELDS} {_FROM} AND (data->>'score')::bigint > $2 "
    "ORDER BY (data->>'score')::bigint DESC, sequence LIMIT 10",
    lambda _, probe: (_score(probe),),
)
_BY_USER: Final = Case(
    "data.user == (50,000), newest 50",
    2,
    _PAGE,
    lambda filled, probe: _newest(_equal("data.user", filled.user(_message(filled, probe)))),
    f"SELECT {_FIELDS} {_FROM} AND data->>'user' = $2 ORDER BY sequence DESC LIMIT 50",
    lambda filled, probe: (filled.user(_message(filled, probe)),),
)
_GROUPS: Final = Case(
    "groupBy data.liked, counts",
    100,
    "groups { key count }",
    lambda _filled, _probe: {"groupBy": "data.liked"},
    f"SELECT data->'liked', count(*) {_FROM} GROUP BY 1",
    stirred=True,
)

CASES: Final = (
    _NEWEST,
    Case(
        "by id",
        2,
        _PAGE,
        lambda filled, probe: {"filters": [_equal("id", filled.id(_message(filled, probe)))]},
        f"SELECT {_FIELDS} {_FROM} AND id = $2",
        lambda filled, probe: (filled.id(_message(filled, probe)),),
    ),
    Case(
        "created range of 1,000, first 50",
        2,
        _PAGE,
        _created_query,
        f"SELECT {_FIELDS} {_FROM} AND created >= $2 AND created < $3 ORDER BY sequence LIMIT 50",
        _created,
    ),
    Case(
        "client_id ==, newest 50",
        2,
        _PAGE,
        lambda filled, probe: _newest(_equal("client_id", filled.client(_message(filled, probe)))),
        f"SELECT {_FIELDS} {_FROM} AND client_id = $2 ORDER BY sequence DESC LIMIT 50",
        lambda filled, probe: (filled.client(_message(filled, probe)),),
    ),
    _BY_SCORE,
    _BY_USER,
    Case(
        "data.room == (1,000), newest 50",
        2,
        _PAGE,
        lambda filled, probe: _newest(_equal("data.room", filled.room(_message(filled, probe)))),
        f"SELECT {_FIELDS} {_FROM} AND data->>'room' = $2 ORDER BY sequence DESC LIMIT 50",
        lambda filled, probe: (filled.room(_message(filled, probe)),),
    ),
    Case(
        "data.room == and data.user ==",
        2,
        _PAGE,
        lambda filled, probe: _newest(
            _equal("data.room", filled.room(_message(filled, probe))),
            _equal("data.user", filled.user(_message(filled, probe))),
        ),
        f"SELECT {_FIELDS} {_FROM} AND data->>'room' = $2 AND data->>'user' = $3 "
        "ORDER BY sequence DESC LIMIT 50",
        lambda filled, probe: (
            filled.room(_message(filled, probe)),
            filled.user(_message(filled, probe)),
        ),
    ),
    Case(
        "totalCount of all",
        1,
        "totalCount",
        lambda _filled, _probe: {},
        f"SELECT count(*) {_FROM}",
        stirred=True,
    ),
    Case(
        "totalCount of data.user ==",
        5,
        "totalCount",
        lambda filled, probe: {
            "filters": [_equal("data.user", filled.user(_message(filled, probe)))]
        },
        f"SELECT count(*) {_FROM} AND data->>'user' = $2",
        lambda filled, probe: (filled.user(_message(filled, probe)),),
    ),
    Case(
        "totalCount of data.room ==",
        5,
        "totalCount",
        lambda filled, probe: {
            "filters": [_equal("data.room", filled.room(_message(filled, probe)))]
        },
        f"SELECT count(*) {_FROM} AND data->>'room' = $2",
        lambda filled, probe: (filled.room(_message(filled, probe)),),
    ),
    _GROUPS,
    Case(
        "groupBy data.liked, with an average",
        300,
        'groups { key count aggregate(field: "data.score") { avg } }',
        lambda _filled, _probe: {"groupBy": "data.liked"},
        f"SELECT data->'liked', count(*), avg((data->>'score')::bigint) {_FROM} GROUP BY 1",
        stirred=True,
    ),
    Case(
        "groupBy data.liked, a live result has it",
        1,
        _GROUPS.selection,
        _GROUPS.query,
        _GROUPS.sql,
        stirred=True,
        watched=True,
    ),
    Case(
        "offset 100,000, newest 50",
        None,
        _PAGE,
        lambda filled, _: {**_newest(), "offset": _deep(filled)},
        f"SELECT {_FIELDS} {_FROM} ORDER BY sequence DESC LIMIT 50 OFFSET $2",
        lambda filled, _: (_deep(filled),),
        stirred=True,
    ),
    Case(
        "groupBy data.liked, 3 messages of each",
        None,
        "groups { key count messages(limit: 3) { id data } }",
        lambda _filled, _probe: {"groupBy": "data.liked"},
        f"SELECT liked, n, m.id, m.data FROM (SELECT data->'liked' AS liked, count(*) AS n {_FROM} "
        "GROUP BY 1) AS g CROSS JOIN LATERAL (SELECT id, data FROM plain_message "
        "WHERE channel = $1 AND data->'liked' = liked ORDER BY sequence LIMIT 3) AS m",
        stirred=True,
    ),
    Case(
        "aggregate of data.score",
        None,
        'aggregate(field: "data.score") { count min max avg }',
        lambda _filled, _probe: {},
        "SELECT count(s), min(s), max(s), avg(s) "
        f"FROM (SELECT (data->>'score')::bigint AS s {_FROM}) AS scores",
        stirred=True,
    ),
)

SIZED: Final = (_NEWEST, _BY_SCORE, _BY_USER, _GROUPS)
"""What is asked of channels of several sizes."""
