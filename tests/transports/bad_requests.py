"""What clients get wrong: each request, the code it is refused with, and what the error names."""

import json
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["PROJECT", "SUBSCRIPTIONS", "WELL_FORMED", "BadRequest"]

PROJECT: Final = "bad-input"
"""The project of all these requests: nothing may ever be stored in it."""

_BAD: Final = "BAD_USER_INPUT"
_INVALID: Final = "GRAPHQL_VALIDATION_FAILED"
_LARGE: Final = "PAYLOAD_TOO_LARGE"
_CURSOR: Final = "UNKNOWN_CURSOR"


@dataclass(frozen=True)
class BadRequest:
    """One request that must be refused."""

    name: str
    payload: str
    """JSON text (as lax as it gets) of `{"query": …, "variables": …}`."""
    code: str
    says: tuple[str, ...]
    """What its error must mention."""


_RAW: Final = "raw value goes here"

_IDS = "projectId: $project, widgetId: $widget"
_SEARCH = f"""
    query ($project: ID!, $widget: ID!, $query: MessageQuery! = {{}}) {{
      messages({_IDS}, query: $query) {{ totalCount messages {{ id }} groups {{ key }} }}
    }}
"""
_PUBLISH = f"""
    mutation ($project: ID!, $widget: ID!, $data: JSON!, $clientId: ID, $id: ID) {{
      publish({_IDS}, data: $data, clientId: $clientId, id: $id) {{ id }}
    }}
"""
_SUBSCRIBE = f"""
    subscription ($project: ID!, $widget: ID!, $filters: [MessageFilter!]! = [], $after: ID,
                  $last: Int) {{
      messages({_IDS}, filters: $filters, after: $after, last: $last) {{ id }}
    }}
"""
_LIVE = f"""
    subscription ($project: ID!, $widget: ID!, $query: MessageQuery!) {{
      liveMessages({_IDS}, query: $query) {{ totalCount }}
    }}
"""


def _payload(document: str, raw: str | None = None, **variables: Any) -> str:
    everything = {"project": PROJECT, "widget": "poll"} | variables
    text = json.dumps({"query": document, "variables": everything})
    return text if raw is None else text.replace(f'"{_RAW}"', raw)


def _search(name: str, *says: str, code: str = _BAD, **query: Any) -> BadRequest:
    return BadRequest(name, _payload(_SEARCH, query=query), code, says)


def _filter(name: str, one: Any, *says: str) -> BadRequest:
    return _search(name, *says, filters=[one])


def _publish(name: str, data: Any, *says: str, code: str = _BAD, **variables: Any) -> BadRequest:
    return BadRequest(name, _payload(_PUBLISH, data=data, **variables), code, says)


def _data(name: str, raw: str, *says: str, code: str = _BAD) -> BadRequest:
    return BadRequest(name, _payload(_PUBLISH, raw, data=_RAW), code, says)


def _literal(name: str, data: str, *says: str, code: str = _INVALID) -> BadRequest:
    document = (
        f'mutation {{ publish(projectId: "{PROJECT}", widgetId: "poll", data: {data}) {{ id }} }}'
    )
    return BadRequest(name, json.dumps({"query": document}), code, says)


def _subscribe(name: str, *says: str, code: str = _BAD, **variables: Any) -> BadRequest:
    return BadRequest(name, _payload(_SUBSCRIBE, **variables), code, says)


def _nested(levels: int, inner: Any) -> Any:
    for _ in range(levels):
        inner = {"not": inner}
    return inner


_EQ: Final = {"field": "data.score", "operator": "EQ", "value": 1}

WELL_FORMED: Final = [
    # The query language.
    _filter("unknown operator", _EQ | {"operator": "LIKE"}, "LIKE", "FilterOperator"),
    _filter("operator in lower case", _EQ | {"operator": "eq"}, "eq", "FilterOperator"),
    _filter("operator of a wrong type", _EQ | {"operator": 5}, "5", "FilterOperator"),
    _filter("unknown field", _EQ | {"field": "score"}, "field", "'score'", "data"),
    _filter("field of a wrong type", _EQ | {"field": 5}, "5", "String"),
    _filter("empty field", _EQ | {"field": ""}, "field", "''"),
    _filter("empty segment", _EQ | {"field": "data..a"}, "field", "'data..a'"),
    _filter("field with NUL", _EQ | {"field": "data.\0"}, "field"),
    _filter("no operator", {"field": "data", "value": 1}, "operator"),
    _filter("no value", {"field": "data", "operator": "EQ"}, "value"),
    _filter("nothing at all", {}, "filters[0]"),
    _filter("IN without a list", _EQ | {"operator": "IN", "value": "a"}, "value", "IN", "list"),
    _filter("NOT_IN without a list", _EQ | {"operator": "NOT_IN"}, "value", "NOT_IN", "list"),
    _filter("IN with null", _EQ | {"operator": "IN", "value": None}, "value", "IN", "list"),
    _filter("EXISTS with a string", _EQ | {"operator": "EXISTS", "value": "yes"}, "EXISTS"),
    _filter("GT with an object", _EQ | {"operator": "GT", "value": {}}, "value", "GT"),
    _filter("STARTS_WITH with a number", _EQ | {"operator": "STARTS_WITH"}, "STARTS_WITH"),
    _filter("value with NUL", _EQ | {"value": "a\0"}, "U+0000"),
    _filter("a comparison and a combination", _EQ | {"and": [_EQ]}, "filters[0]", "and"),
    _filter("two combinations", {"and": [_EQ], "or": [_EQ]}, "filters[0]", "and", "or"),
    _filter("an unknown key", _EQ | {"nor": [_EQ]}, "nor"),
    _filter("an unknown key beside a fraction", {"value": 1.5, "nor": 1.5}, "nor"),
    _filter("too deep", _nested(40, _EQ), "filters[0]"),
    _search("too many filters", "filters", filters=[_EQ] * 2000),
    _search("filters that are no list of objects", "filters", filters=["data.score = 1"]),
    _search("unknown sort field", "sortField", "'score'", sortField="score"),
    _search("unknown sort order", "UP", "SortOrder", sortOrder="UP"),
    _search("groups sorted by a field", "sortField", groupBy="data.a", sortField="data.b"),
    _search("unknown groupBy", "groupBy", "'colour'", groupBy="colour"),
    _search("negative limit", "limit", "-1", "1000", limit=-1),
    _search("huge limit", "limit", "1001", "1000", limit=1001),
    _search("limit beyond Int", "limit", "4294967296", limit=2**32),
    _search("limit of a wrong type", "limit", "ten", limit="ten"),
    _search("half a limit", "limit", "1.5", limit=1.5),
    _search("null as limit", "limit", limit=None),
    _search("negative offset", "offset", "-1", "100000", offset=-1),
    _search("huge offset", "offset", "100001", "100000", offset=100_001),
    # The channel.
    *(
        BadRequest(f"{key} {value!r:.20}", _payload(_SEARCH, **{key: value}), _BAD, (f"{key}Id",))
        for key in ("project", "widget")
        for value in ("", "a b", "a/b", "é", "a" * 65, "a\n", "'; DROP TABLE messages; --")
    ),
    BadRequest("no project", _payload(_SEARCH, project=None), _BAD, ("project", "ID!")),
    BadRequest("a fraction as project", _payload(_SEARCH, project=1.5), _BAD, ("project", "1.5")),
    BadRequest("fractions as project", _payload(_SEARCH, project=[1.5]), _BAD, ("project",)),
    BadRequest("a list as project", _payload(_SEARCH, project=[1]), _BAD, ("project",)),
    # What is published.
    _publish("too large", "a" * 65_535, "data", "65537", "65536", code=_LARGE),
    _data("65 levels", "[" * 65 + "]" * 65, "data", "64"),
    _data("500 levels of objects", '{"a":' * 500 + "1" + "}" * 500, "levels", "100"),
    _data("NUL", r'"a\u0000b"', "data", "U+0000"),
    _data("NUL in a key", r'{"a\u0000b": 1}', "data", "U+0000"),
    _data("integer of 1,000 digits", "9" * 1_000, "data", "400 digits"),
    _data("1e100000", "1e100000", "data", "64-bit float"),
    _data("-1e400", "[-1e400]", "data", "64-bit float"),
    _data("1e-100000", "1e-100000", "data", "64-bit float"),
    _publish("null", None, "data"),
    _publish("empty client id", 1, "clientId", "''", "128", clientId=""),
    _publish("long client id", 1, "clientId", "128", clientId="a" * 129),
    _publish("client id with a line end", 1, "clientId", clientId="a\nb"),
    _publish("empty id", 1, "id is ''", "128", id=""),
    _publish("long id", 1, "id is ", "128", id="a" * 129),
    _literal("literal 1e100000", "1e100000", "64-bit float", code=_BAD),
    _literal("literal of 5,000 digits", "9" * 5_000, "5000", "400"),
    _literal("literal enum", "YES", "YES"),
    _literal("literal NUL", r'"\u0000"', "U+0000", code=_BAD),
    BadRequest(
        "a variable without a value in a literal",
        json.dumps(
            {
                "query": "mutation ($nothing: Int) { publish(projectId: "
                f'"{PROJECT}", widgetId: "poll", data: [$nothing]) {{ id }} }}'
            }
        ),
        _BAD,
        ("nothing",),
    ),
    _literal("literal with an unknown variable", "[$unknown]", "unknown"),
    # The document.
    BadRequest("no document", '{"query": ""}', "GRAPHQL_PARSE_FAILED", ()),
    BadRequest("half a document", '{"query": "{ messages("}', "GRAPHQL_PARSE_FAILED", ()),
    BadRequest("unknown root field", '{"query": "{ nothing }"}', _INVALID, ("nothing",)),
    BadRequest(
        "unknown operation",
        '{"query": "query A { __typename }", "operationName": "B"}',
        _BAD,
        ("B",),
    ),
]
"""Valid JSON with a GraphQL request in it."""

SUBSCRIPTIONS: Final = [
    _subscribe(
        "unknown cursor", "after", code=_CURSOR, after="01890000-0000-7000-8000-000000000000"
    ),
    _subscribe("a cursor that is no id", "after", "'nonsense'", code=_CURSOR, after="nonsense"),
    _subscribe("an empty cursor", "after", "''", code=_CURSOR, after=""),
    _subscribe("a cursor with NUL", "after", code=_CURSOR, after="\0"),
    _subscribe("a very long cursor", "after", code=_CURSOR, after="a" * 10_000),
    _subscribe("a list as cursor", "after", after=["a"]),
    _subscribe("negative last", "last", "-1", "1000", last=-1),
    _subscribe("huge last", "last", "1001", "1000", last=1_001),
    _subscribe("an unknown operator", "LIKE", filters=[_EQ | {"operator": "LIKE"}]),
    _subscribe("an unknown field", "field", "'x'", filters=[_EQ | {"field": "x"}]),
    _subscribe("a bad widget", "widgetId", "'a b'", widget="a b"),
    *(
        BadRequest(f"{name} of a live query", _payload(_LIVE, query=query), code, says)
        for name, query, code, says in (
            ("an unknown cursor", {"after": "nonsense"}, _CURSOR, ("query.after", "'nonsense'")),
            (
                "a cursor by key",
                {"before": "x", "groupBy": "data"},
                _BAD,
                ("query.before", "groupBy"),
            ),
        )
    ),
]
"""Subscriptions that must be refused before they begin."""
