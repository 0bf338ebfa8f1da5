"""A search without the engine is answered as the engine answers it, byte by byte."""

import gc
import tracemalloc
import warnings
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.channel import Channel
from app.domain.json_value import decode_json
from app.domain.query import FieldPath, MessageQuery
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.engine.asking import AskedQueries
from app.engine.direct import Resolvers
from app.engine.documents import Documents
from app.engine.errors import RequestRefused
from app.engine.execution import Executor
from app.schema import build_schema
from app.schema.context import Context, Services
from app.schema.operations import answer, publish, search, searched, subscribe
from app.schema.search_scope import SearchScope
from app.schema.types import MessageResultType
from app.services.answers import Answers
from app.services.messages import MessageService
from app.services.searching import Searching
from tests.engine.known_search import CHANNEL, Known

pytestmark = [
    pytest.mark.anyio,
    # The engine leaves coroutines that it never awaits, where a part fails before they begin.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]

SCHEMA = build_schema()
ENGINE = Executor.of(SCHEMA)
DIRECT = Executor.of(SCHEMA, resolvers=Resolvers(publish, subscribe, search, answer, searched))
VIEWER = Viewer("ann", DEFAULT_PERMISSIONS)


@pytest.fixture(scope="module", autouse=True)
def coroutines_are_collected() -> Iterator[None]:
    """Warn of what the engine leaves here, and in no other module."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


class Messages:
    """The part of the service that a search asks for its rights."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def search(
        self, viewer: Viewer, channel: Channel, _asker: object = None, _peer: object = None
    ) -> Searching:
        viewer.require(Permission.SEARCH, channel)
        return self._known


def context(known: Known, viewer: Viewer = VIEWER) -> Context:
    messages = cast("MessageService", Messages(known))
    answers = Answers(cast("Any", None), max_bytes=0)
    nothing = cast("Any", None)
    services = Services(
        messages,
        nothing,
        nothing,
        answers,
        policies=nothing,
        client_ids=nothing,
        deletion=nothing,
        channels=nothing,
        bans=nothing,
        held=nothing,
    )
    return Context(viewer, services)


async def answered(
    executor: Executor,
    document: str,
    variables: Mapping[str, Any],
    known: Known,
    viewer: Viewer = VIEWER,
) -> tuple[object, list[Any]]:
    """Return the answer's text, but for the ids of masked errors, and what was read for it."""
    try:
        operation = executor.prepare(document)
        payload = await executor.execute(operation, variables, context(known, viewer))
    except RequestRefused as refused:
        return refused.errors, known.asked
    if b"internal server error" in payload:
        return without_error_ids(decode_json(payload)), known.asked
    return payload, known.asked


async def assert_alike(
    document: str,
    variables: Mapping[str, Any],
    fails: str = "",
    groups: int = 2,
    viewer: Viewer = VIEWER,
) -> object:
    engine, direct = [
        await answered(one, document, variables, Known(fails, groups), viewer)
        for one in (ENGINE, DIRECT)
    ]
    assert engine[0] == direct[0]
    reads = [repr(one) for one in direct[1]]
    assert set(map(repr, engine[1])) == set(reads)
    if engine[1] != direct[1]:
        assert len(reads) == len(set(reads))  # the engine counts once for each alias
    return direct[0]


EVERYTHING = """
    __typename totalCount count: totalCount
    messages { id clientId created data username persistent }
    again: messages { __typename id }
    all: aggregate(field: "data.score") { count distinct sum avg min max __typename }
    more: aggregate(field: "data.score") { avg }
    none: aggregate(field: "data.other") { __typename }
    pageInfo { __typename hasNextPage has: hasPreviousPage startCursor endCursor }
    groups {
        key count __typename
        score: aggregate(field: "data.score") { min }
        aggregate(field: "data.x") { count sum }
        none: aggregate(field: "data.y") { __typename }
        distinct: aggregate(field: "data.x") { distinct }
        messages { id }
        two: messages(limit: 2) { __typename data }
    }
"""
NEWEST = '{ messages(projectId: "p", widgetId: "w", query: {sortOrder: DESC}) { messages { id } } }'
ASKED = (
    "query Q($p: ID!, $w: ID!, $q: MessageQuery! = {limit: 5}) "
    f"{{ found: messages(projectId: $p, widgetId: $w, query: $q) {{ {EVERYTHING} }} }}"
)
PARTS = (
    "query ($f: [MessageFilter!]! = [], $s: String, $o: SortOrder, $offset: Int, $g: String, "
    "$limit: Int! = 3, $field: String!, $n: Int! = 2) "
    '{ messages(projectId: "p", widgetId: "w", query: {filters: $f, sortField: $s, '
    "sortOrder: $o, offset: $offset, limit: $limit, groupBy: $g}) { messages { id } "
    "aggregate(field: $field) { sum } "
    "groups { aggregate(field: $field) { avg } messages(limit: $n) { id } } } }"
)
COMPARED = (
    'query ($v: JSON, $op: FilterOperator! = EQ, $f: String = "data.a") '
    '{ messages(projectId: "p", widgetId: "w", query: {filters: [{field: $f, operator: $op, '
    "value: $v}]}) { totalCount } }"
)
EQUALS = {"field": "data.a", "operator": "EQ", "value": Decimal("1.0")}


def written(query: str, selection: str = "totalCount") -> str:
    return f'{{ messages(projectId: "p", widgetId: "w", query: {query}) {{ {selection} }} }}'


def place(**query: object) -> dict[str, object]:
    return {"p": "p", "w": "w", "q": query}


def nested(levels: int) -> dict[str, object]:
    inner: dict[str, object] = EQUALS
    for _ in range(levels):
        inner = {"and": [inner]}
    return inner


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (NEWEST, {}),
        (ASKED, place()),
        (ASKED, {"p": "p", "w": "w"}),
        (ASKED, place(groupBy="data.liked")),
        (ASKED, place(groupBy="data.liked", sortField="key", sortOrder="DESC", limit=0)),
        (ASKED, place(sortField="data.score", sortOrder="ASC", offset=3, limit=7)),
        (ASKED, place(filters=[EQUALS, {"not": EQUALS}, {"or": [EQUALS]}, nested(3)])),
        (ASKED, place(filters=[{"field": "clientId", "operator": "IN", "value": ["a", None]}])),
        (ASKED, place(extra=1)),
        (ASKED, place(limit=None)),
        (ASKED, place(offset=None)),
        (ASKED, place(filters=None)),
        (ASKED, place(groupBy=None, sortField=None, sortOrder=None)),
        (ASKED, place(filters=EQUALS)),
        (ASKED, place(filters=[None])),
        (ASKED, place(filters=[{}])),
        (ASKED, place(filters=[{"and": []}])),
        (ASKED, place(filters=[nested(9)])),
        (ASKED, place(filters=[nested(7)] * 90)),
        (ASKED, place(filters=[EQUALS] * 101)),
        (ASKED, place(filters=[{**EQUALS, "operator": "SAME"}])),
        (ASKED, place(filters=[{**EQUALS, "operator": None}])),
        (ASKED, place(filters=[{**EQUALS, "field": 5}])),
        (ASKED, place(filters=[{**EQUALS, "value": None}])),
        (ASKED, place(filters=[{"field": "data.a", "operator": "EQ"}])),
        (ASKED, place(limit=Decimal("10.0"))),
        (ASKED, place(limit=Decimal("10.5"))),
        (ASKED, place(limit="10")),
        (ASKED, place(limit=True)),
        (ASKED, place(limit=1001)),
        (ASKED, place(offset=-1)),
        (ASKED, place(sortOrder="UP")),
        (ASKED, place(sortOrder=1)),
        (ASKED, place(sortField="nonsense")),
        (ASKED, place(sortField=["data"])),
        (ASKED, {"p": "p", "w": "w", "q": None}),
        (ASKED, {"p": "p", "w": "w", "q": []}),
        (ASKED, {"p": "p", "w": "w", "q": "{}"}),
        (ASKED, {"p": 5, "w": "w"}),
        (ASKED, {"p": "no/slash", "w": "w"}),
        (ASKED, {"p": None, "w": "w"}),
        (ASKED, {"w": "w"}),
        (ASKED, {"p": "p", "w": "w", "unknown": 1}),
        (PARTS, {"field": "data.a"}),
        (PARTS, {"field": "data.a", "g": "data.b", "n": 1, "offset": 4}),
        (PARTS, {"field": "data.a", "g": "data.b", "n": -1}),
        (PARTS, {"field": "data.a", "n": -1}),
        (PARTS, {"field": "nonsense"}),
        (PARTS, {"field": "nonsense", "g": "data.b"}),
        (PARTS, {"field": None}),
        (PARTS, {"field": 1}),
        (PARTS, {"field": "data.a", "offset": None}),
        (PARTS, {"field": "data.a", "limit": None}),
        (PARTS, {"field": "data.a", "n": None}),
        (PARTS, {"field": "data.a", "f": None}),
        (PARTS, {"field": "data.a", "f": [EQUALS], "s": None, "o": None, "g": None}),
        (COMPARED, {}),
        (COMPARED, {"v": None}),
        (COMPARED, {"v": [1, {"a": Decimal("1.5")}]}),
        (COMPARED, {"v": 1, "op": "GT", "f": "data.b"}),
        (COMPARED, {"v": 1, "op": "gt"}),
        (COMPARED, {"v": 1, "op": None}),
        (COMPARED, {"v": 1, "f": None}),
        (
            written(
                '{filters: [{field: "data.a", operator: EQ, value: {a: [1, 1.5, "b", null]}}]}'
            ),
            {},
        ),
        (written('{filters: {field: "data.a", operator: EQ, value: 123456789012345678901}}'), {}),
        (written('{filters: [{field: "data.a", operator: EQ, value: 123456789012345678901}]}'), {}),
        (written('{filters: [{field: "data.a", operator: EQ, value: 1e5}]}'), {}),
        (written('{filters: [{field: "data.a", operator: EQ}]}'), {}),
        (written('{filters: [{not: {field: "data.a", operator: LT, value: true}}]}'), {}),
        (written("{limit: 1001}"), {}),
        (written("{limit: 99999999999}"), {}),
        (written("{groupBy: 5}"), {}),
        (written('{groupBy: "data.a"}', "groups { messages(limit: 1001) { id } }"), {}),
        (written('{groupBy: "data.a"}', 'groups { aggregate(field: "") { sum } }'), {}),
        (written("{}", 'groups { aggregate(field: "") { sum } messages(limit: -5) { id } }'), {}),
        (written("{}", 'aggregate(field: "") { sum } messages { id }'), {}),
        (written("{}", "messages { id } messages { created id }"), {}),
        (written("{}", "a: messages { id } b: messages { created id }"), {}),
        (written("{}", "messages { id @skip(if: true) created }"), {}),
        (written("{}", "messages @include(if: false) { id } totalCount"), {}),
        (written("{}", "... on MessageResult { totalCount messages { ... { id } } }"), {}),
        (written("{}", "... @skip(if: true) { totalCount } messages { id }"), {}),
        (written("{}", "__typename"), {}),
        (
            "{ ...Root } fragment Root on Query "
            '{ messages(projectId: "p", widgetId: "w") { totalCount } }',
            {},
        ),
        (
            '{ messages(projectId: "p", widgetId: "w") { ...R ...R messages { created } } } '
            "fragment R on MessageResult { messages { ...M id } totalCount } "
            "fragment M on Message { data ...N } fragment N on Message { username id }",
            {},
        ),
        ('{ a: messages(projectId: "p", widgetId: "w") { totalCount } b: __typename }', {}),
        ('query @skip(if: true) { messages(projectId: "p", widgetId: "w") { totalCount } }', {}),
        ('{ messages(projectId: "p", widgetId: "") { totalCount } }', {}),
        ('{ messages(projectId: "p", widgetId: 5) { totalCount } }', {}),
        (
            'query ($x: String!) { messages(projectId: "p", widgetId: "w", query: {groupBy: $x, '
            "sortField: $x}) { aggregate(field: $x) { sum } } }",
            {"x": "data.a"},
        ),
        (
            'query ($v: JSON!) { messages(projectId: "p", widgetId: "w", query: {filters: '
            '[{field: "data.a", operator: EQ, value: $v}, {field: "data.b", operator: EQ, '
            'value: $v}, {field: "data.c", operator: EQ, value: {in: $v}}]}) { totalCount } }',
            {"v": [1] * 3},
        ),
        (
            "query ($f: MessageFilter!) "
            '{ messages(projectId: "p", widgetId: "w", query: {filters: [$f]}) { totalCount } }',
            {"f": EQUALS},
        ),
    ],
)
async def test_a_search_is_answered_as_the_engine_does(
    document: str, variables: Mapping[str, Any]
) -> None:
    await assert_alike(document, variables)


@pytest.mark.parametrize("part", ["messages", "totalCount", "groups", "aggregate", ""])
@pytest.mark.parametrize("below", ["", ".messages", ".aggregate"])
@pytest.mark.parametrize("how", ["", " broken"])
@pytest.mark.parametrize("groups", [0, 2])
async def test_a_part_that_fails_is_the_one_error(
    part: str, below: str, how: str, groups: int
) -> None:
    fails = f"{part}{below}{how}"
    for selection in (
        "totalCount groups { key messages { id } } messages { id }",
        'messages { id } groups { a: aggregate(field: "data.x") { sum } messages { id } }',
        'totalCount groups { key a: aggregate(field: "data.x") { sum avg b: min } }',
        'aggregate(field: "data.x") { sum m: max } b: aggregate(field: "data.y") { count }',
        "pageInfo { hasNextPage } messages { id }",
        'all: aggregate(field: "data.x") { sum } messages { id } messages { created }',
    ):
        for query in ("{}", '{groupBy: "data.a"}'):
            engine, direct = [
                await answered(one, written(query, selection), {}, Known(fails, groups))
                for one in (ENGINE, DIRECT)
            ]
            assert engine[0] == direct[0]


async def test_a_viewer_without_the_right_is_refused_in_the_same_words() -> None:
    for viewer in (
        Viewer("bob", frozenset({Permission.SUBSCRIBE})),
        Viewer("bob", DEFAULT_PERMISSIONS, projects=frozenset({"q"})),
        Viewer(None, frozenset(), anonymous=True),
    ):
        refused = await assert_alike(NEWEST, {}, viewer=viewer)
        assert b'"errors"' in cast("bytes", refused)


NAMES = ["id", "clientId", "created", "data", "username", "persistent", "__typename"]
messages_selected = st.lists(
    st.sampled_from([*NAMES, *(f"a{n}: {name}" for n, name in enumerate(NAMES))]), min_size=1
).map(lambda fields: f"messages {{ {' '.join(fields)} }}")
aggregates = st.tuples(
    st.sampled_from(["aggregate", "x: aggregate", "y: aggregate"]),
    st.lists(
        st.sampled_from(["count", "distinct", "sum", "avg", "min", "m: max", "__typename"]),
        min_size=1,
    ),
).map(lambda one: f'{one[0]}(field: "data.a") {{ {" ".join(one[1])} }}')
in_groups = st.lists(
    st.one_of(
        st.sampled_from(["key", "k: key", "count", "__typename"]), messages_selected, aggregates
    ),
    min_size=1,
).map(lambda fields: f"groups {{ {' '.join(fields)} }}")
results = st.lists(
    st.one_of(
        st.sampled_from(
            ["totalCount", "t: totalCount", "__typename", "pageInfo { endCursor hasNextPage }"]
        ),
        messages_selected,
        aggregates,
        in_groups,
        in_groups.map(lambda text: f"... {{ {text} }}"),
    ),
    min_size=1,
    max_size=6,
).map(" ".join)
queries = st.fixed_dictionaries(
    {},
    optional={
        "groupBy": st.sampled_from([None, "data.a", "username", "nonsense"]),
        "sortField": st.sampled_from([None, "created", "data.b", "key", "count", "max(data.b)"]),
        "sortOrder": st.sampled_from([None, "ASC", "DESC", "asc"]),
        "limit": st.sampled_from([None, 0, 1, 50, 1000, 1001, Decimal("2.0")]),
        "offset": st.sampled_from([None, 0, 3, 100_000, 100_001]),
        "after": st.sampled_from([None, "x", "y" * 200, 5]),
        "before": st.sampled_from([None, "x"]),
        "filters": st.lists(st.sampled_from([EQUALS, nested(2), {"or": []}, {}]), max_size=3),
    },
)


@given(results, queries)
@settings(max_examples=35, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_selection_of_any_query_is_answered_as_the_engine_does(
    selection: str, query: dict[str, object]
) -> None:
    document = f"query ($q: MessageQuery!) {written('$q', selection)}"
    await assert_alike(document, {"q": query})


LIVE = (
    'subscription ($f: String! = "data.a", $g: String) { now: liveMessages(projectId: "p", '
    'widgetId: "w", query: {groupBy: $g}) { totalCount messages { id data } '
    "aggregate(field: $f) { sum } groups { count aggregate(field: $f) { avg } } } }"
)


@pytest.mark.parametrize("query", [MessageQuery(), MessageQuery(group_by=FieldPath("id"))])
@pytest.mark.parametrize("fails", ["", "totalCount", "aggregate", "groups.aggregate broken"])
@pytest.mark.parametrize("field", [None, "data.b", "nonsense"])
async def test_a_live_result_is_answered_as_the_engine_does(
    query: MessageQuery, fails: str, field: str | None
) -> None:
    variables: dict[str, object] = {} if field is None else {"f": field}
    payloads, told = [], []
    for executor in (ENGINE, DIRECT):
        operation = executor.prepare(LIVE)
        asked = context(Known())
        respond = executor._result_responder(operation, variables, asked)
        assert (respond is None) == (executor is ENGINE or field == "nonsense")
        respond = respond or executor._responder(operation, variables, asked)
        unavailable: list[None] = []
        scope = SearchScope(Known(fails), CHANNEL, query, partial(unavailable.append, None))
        made = respond(MessageResultType(scope=scope))
        payload = decode_json(made if isinstance(made, bytes) else await made)
        payloads.append(without_error_ids(payload))
        told.append(bool(unavailable))
    assert payloads[0] == payloads[1]
    assert told[0] == told[1]


def without_error_ids(payload: Any) -> object:
    for error in payload.get("errors", ()):
        if error["message"].startswith("internal server error"):
            error["message"] = "internal server error"
    return payload


def test_what_clients_send_needs_no_engine() -> None:
    documents = Documents(SCHEMA)
    fragment = " fragment F on MessageResult { totalCount messages { id } }"
    for document in (NEWEST, ASKED, PARTS, COMPARED, written("{}", "...F") + fragment):
        assert documents.document(document).operation().asking is not None
    for document in (
        "{ __typename }",
        'subscription { messages(projectId: "p", widgetId: "w") { id } }',
    ):
        assert documents.document(document).operation().asking is None


def test_a_kept_search_takes_what_it_is_counted_for() -> None:
    documents = Documents(SCHEMA)
    texts = [ASKED.replace("two:", f"n{number}:") for number in range(13)]
    for text in texts[:3]:
        documents.document(text).operation()  # what is made once for all
    counted = documents._kept_bytes
    gc.collect()
    tracemalloc.start()
    for text in texts[3:]:
        documents.document(text).operation()
    gc.collect()
    real, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.7 * real < documents._kept_bytes - counted < 2 * real


async def test_an_equal_question_is_read_once() -> None:
    field = Documents(SCHEMA).document(ASKED).operation().asking
    other = Documents(SCHEMA).document(ASKED.replace("query Q", "query R")).operation().asking
    assert field is not None
    assert other is not None
    queries = AskedQueries()
    first = queries.asked(field, place(limit=5) | {"unknown": 1})
    assert first is not None
    again = queries.asked(field, place(limit=5))
    assert again is not None
    assert again[0] is first[0]
    assert again[1] == first[1]
    keys = {first[1]}
    for one, variables in (
        (field, place(limit=6)),
        (field, place(limit=5) | {"w": "v"}),
        (other, place(limit=5)),
    ):
        asked = queries.asked(one, variables)
        assert asked is not None
        keys.add(asked[1])
    assert len(keys) == 4


async def test_a_large_question_is_asked_and_not_kept() -> None:
    field = Documents(SCHEMA).document(ASKED).operation().asking
    assert field is not None
    large = place(filters=[{"field": "data.a", "operator": "EQ", "value": "x" * 2000}])
    asked = AskedQueries().asked(field, large)
    assert asked is not None
    assert asked[1] is None


async def test_the_oldest_questions_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.asking._MAX_KEPT", 2)
    field = Documents(SCHEMA).document(ASKED).operation().asking
    assert field is not None
    queries = AskedQueries()
    first, _, _ = [queries.asked(field, place(limit=limit)) for limit in (1, 2, 3)]
    again = queries.asked(field, place(limit=1))
    assert first is not None
    assert again is not None
    assert again[0] == first[0]
    assert again[0] is not first[0]
