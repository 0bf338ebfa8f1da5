"""Whatever one client sends is answered, and holds the event loop for a moment only.

One body of 859 KiB with 80,000 empty filters used to hold the process for five seconds, and
variables nested 500 deep were answered with a traceback's plain-text 500.
"""

import asyncio
import base64
import gc
import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.embedded.postgres import EmbeddedPostgres
from tests.conftest import cloned
from tests.hosted import hosted
from tests.turns import Turns

LONGEST_TURN_SECONDS: Final = 0.15
"""The goal is 0.05 of a quiet machine; machines differ, and caches are shared with others."""
MOST_BYTES: Final = 1 << 20
SECRET: Final = "a secret of more than thirty-two bytes"

_ANSWERED: Final = {
    "BAD_USER_INPUT",
    "PAYLOAD_TOO_LARGE",
    "UNAUTHENTICATED",
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
}
_CLOSED: Final = {1007, 1009, 4400, 4401}

SEARCH: Final = (
    'query ($q: MessageQuery) { messages(projectId: "p", widgetId: "w", query: $q)'
    " { totalCount messages { id } } }"
)
SUBSCRIBE: Final = (
    "subscription ($f: [MessageFilter!]!) "
    '{ messages(projectId: "p", widgetId: "w", filters: $f) { id } }'
)
PUBLISH: Final = 'mutation ($d: JSON!) { publish(projectId: "p", widgetId: "d", data: $d) { id } }'


@dataclass
class Service:
    """The service, and what its log has above INFO."""

    runner: asyncio.Runner
    host: str
    http: httpx.AsyncClient
    complaints: list[str]

    def answers(self, way: "Way", payload: bytes) -> list[str]:
        """Send a payload; return the codes it is answered with, empty when it is carried out.

        Fails where the loop was held for too long, or the log complains.
        """
        gc.collect()
        with Turns() as turns:
            codes = self.runner.run(asyncio.wait_for(way(self, payload), 30))
        assert set(codes) <= _ANSWERED
        assert not self.complaints
        assert turns.longest_seconds < LONGEST_TURN_SECONDS
        return codes


Way = Callable[[Service, bytes], Awaitable[list[str]]]


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # That a token is refused is told once a minute, whatever it was.
        if record.name != "app.transports.refusals":
            self.texts.append(self.format(record))


@pytest.fixture(scope="module")
def service(postgres: EmbeddedPostgres, template_database: str) -> Iterator[Service]:
    log = _Complaints()
    logging.getLogger().addHandler(log)
    for url in cloned(postgres, template_database):
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            host = runner.run(
                stack.enter_async_context(
                    hosted(url, jwt_secret=SECRET, max_anonymous_bytes=MOST_BYTES)
                )
            )
            http = httpx.AsyncClient(base_url=f"http://{host}", timeout=20)
            # What tests and libraries have made is not the service's to walk through.
            gc.collect()
            gc.freeze()
            yield Service(runner, host, http, log.texts)
            gc.unfreeze()
            runner.run(http.aclose())
            runner.run(stack.aclose())
    logging.getLogger().removeHandler(log)


# The ways in. Each takes a JSON text with the members query and variables.


def _codes(answer: dict[str, Any]) -> list[str]:
    errors = answer.get("errors", ())
    assert len(errors) <= 10
    assert all(len(error["message"]) <= 500 for error in errors)
    return [error["extensions"]["code"] for error in errors]


async def post(service: Service, payload: bytes) -> list[str]:
    headers = {"content-type": "application/json"}
    response = await service.http.post("/graphql", content=payload, headers=headers)
    assert response.status_code < 500
    return _codes(response.json())


async def event_stream(service: Service, payload: bytes) -> list[str]:
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    async with service.http.stream("POST", "/graphql", content=payload, headers=headers) as answer:
        assert answer.status_code < 500
        async for line in answer.aiter_lines():
            if line.startswith("{"):
                return _codes(json.loads(line))
            if line.startswith("data: "):
                return _codes(json.loads(line.removeprefix("data: ")))
            if line == ":":
                return []  # It has begun.
    return []


async def get(service: Service, payload: bytes) -> list[str]:
    request = json.loads(payload)
    variables = quote(json.dumps(request["variables"], separators=(",", ":")))
    response = await service.http.get(
        f"/graphql?query={quote(request['query'])}&variables={variables}",
        headers={"accept": "application/json"},
    )
    assert response.status_code < 500
    return _codes(response.json())


async def transport_socket(service: Service, payload: bytes) -> list[str]:
    return await _graphql_socket(service, "graphql-transport-ws", b"subscribe", payload)


async def legacy_graphql_socket(service: Service, payload: bytes) -> list[str]:
    return await _graphql_socket(service, "graphql-ws", b"start", payload)


async def _graphql_socket(
    service: Service, subprotocol: str, begin: bytes, payload: bytes
) -> list[str]:
    url = f"ws://{service.host}/graphql"
    async with connect(url, subprotocols=[Subprotocol(subprotocol)]) as socket:
        await socket.send('{"type":"connection_init"}')
        assert await _next(socket) == {"type": "connection_ack"}
        frame = b'{"id":"1","type":"%b","payload":%b}' % (begin, payload)
        await socket.send(frame, text=True)
        if b"subscription" in payload:
            # One that begins says nothing, and what comes after it waits until it has.
            await socket.send('{"id":"2","type":"%s","payload":{"query":"{"}}' % begin.decode())
        answer = await _next(socket)
        if isinstance(answer, int):
            assert answer in _CLOSED
            return []
        if answer["id"] == "2":
            return []
        if answer["type"] == "error":
            errors = answer["payload"]
            return _codes({"errors": errors if isinstance(errors, list) else [errors]})
        return _codes(answer["payload"])


async def widget_publish(service: Service, data: bytes) -> list[str]:
    return await _widget(service, b'{"type":"publish","ref":1,"data":%b}' % data, "d")


async def widget_search(service: Service, query: bytes) -> list[str]:
    return await _widget(service, b'{"type":"search","ref":1,"query":%b}' % query, "w")


async def _widget(service: Service, frame: bytes, widget: str) -> list[str]:
    async with connect(f"ws://{service.host}/c8/p/{widget}") as socket:
        await socket.send('{"type":"open"}')
        while (await _next(socket))["type"] != "open":
            pass
        await socket.send(frame, text=True)
        while True:
            answer = await _next(socket)
            if isinstance(answer, int):
                assert answer in _CLOSED
                return []
            if answer["type"] == "error":
                assert len(answer["message"]) <= 500
                return [answer["code"]]
            if answer.get("ref") == 1:
                return []


async def _next(socket: ClientConnection) -> Any:
    """The next frame, or the code of the close."""
    try:
        return json.loads(await socket.recv())
    except ConnectionClosed:
        return socket.close_code


GRAPHQL: Final[list[Way]] = [
    post,
    event_stream,
    get,
    transport_socket,
    legacy_graphql_socket,
]


def _request(document: str, variables: bytes) -> bytes:
    return b'{"query":%b,"variables":%b}' % (json.dumps(document).encode(), variables)


def _filters(way: Way, filters: bytes) -> bytes:
    """The request that carries filters on this way."""
    if way is widget_search:
        return b'{"filters":%b}' % filters
    if way is event_stream:
        return _request(SUBSCRIBE, b'{"f":%b}' % filters)
    return _request(SEARCH, b'{"q":{"filters":%b}}' % filters)


COMPARISON: Final = b'{"field":"data.a","operator":"EQ","value":1}'


@pytest.mark.parametrize("way", [*GRAPHQL, widget_search], ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    ("unit", "count"),
    [(b'{"not":{}}', 80_000), (b"{}", 349_000), (b'{"or":[]}', 95_000), (COMPARISON, 22_000)],
    ids=["nots", "empty", "ors", "comparisons"],
)
def test_a_flood_of_filters_is_refused_at_once(
    service: Service, way: Way, unit: bytes, count: int
) -> None:
    """Each of these held the loop for 1.4 to 4.8 s: all of them were converted first."""
    if way is get:
        count = 60_000 // len(quote(unit + b","))  # The head of a request has its own bound.
    filters = b"[" + b",".join([unit] * count) + b"]"
    assert service.answers(way, _filters(way, filters)) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("way", [*GRAPHQL, widget_search], ids=lambda way: way.__name__)
@pytest.mark.parametrize("levels", [20, 90, 500, 900])
def test_filters_nested_without_sense_are_refused(service: Service, way: Way, levels: int) -> None:
    """500 levels overflowed the stack, and HTTP answered 500 in plain text."""
    filters = b"[" + b'{"not":' * levels + COMPARISON + b"}" * levels + b"]"
    assert service.answers(way, _filters(way, filters)) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("way", [*GRAPHQL, widget_search], ids=lambda way: way.__name__)
def test_as_many_comparisons_as_are_allowed_are_answered(service: Service, way: Way) -> None:
    filters = b"[" + b",".join([b'{"not":%b}' % COMPARISON] * 64) + b"]"
    assert service.answers(way, _filters(way, filters)) == []


@pytest.mark.parametrize("way", [post, transport_socket, widget_publish])
@pytest.mark.parametrize(
    "data",
    [
        b"[" + b",".join([b"7"] * 32_700) + b"]",
        b"[" + b",".join([b"{}"] * 21_800) + b"]",
        b"[" + b",".join([b"0.5"] * 16_000) + b"]",
        b'"' + b"[{,}] " * 10_900 + b'"',
        b"[" * 64 + b"]" * 64,
    ],
    ids=["numbers", "objects", "fractions", "brackets in a string", "64 levels"],
)
def test_data_within_its_bounds_is_published(service: Service, way: Way, data: bytes) -> None:
    payload = data if way is widget_publish else _request(PUBLISH, b'{"d":%b}' % data)
    assert service.answers(way, payload) == []


def _used(times: int, use: str, between: str = " ") -> str:
    return between.join([use.replace("#", str(number)) for number in range(times)])


_ROOT: Final = 'a#: messages(projectId: "p", widgetId: "w", query: $q) { totalCount }'


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (
            "query ($q: MessageQuery!) { %s }" % _used(50, _ROOT),
            b'{"q":{"filters":[%b]}}' % b",".join([COMPARISON] * 64),
        ),
        (
            "query ($q: MessageQuery = {filters: [%s]}) { %s }" % ("{}" * 400, _used(30, _ROOT)),
            b"{}",
        ),
        (
            'query ($f: MessageFilter!) { messages(projectId: "p", widgetId: "w", '
            "query: {filters: [%s]}) { totalCount } }" % ("$f " * 900),
            b'{"f":{"or":[%b]}}' % b",".join([COMPARISON] * 63),
        ),
        (
            "mutation ($d: JSON!) { %s }"
            % _used(50, 'a#: publish(projectId: "p", widgetId: "w", data: $d) { id }'),
            b'{"d":[%b]}' % b",".join([b"0.5"] * 16_000),
        ),
    ],
    ids=["in many fields", "a default in many fields", "in a literal", "data"],
)
@pytest.mark.parametrize("way", [post, transport_socket], ids=lambda way: way.__name__)
def test_a_variable_costs_as_often_as_it_is_used(
    service: Service, way: Way, document: str, variables: bytes
) -> None:
    """One variable of 100 filters, used 900 times, was converted 90,000 times: 2.5 s."""
    (code,) = service.answers(way, _request(document, variables))
    assert code in {"BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"}


_CHANNEL: Final = 'projectId: "p", widgetId: "w"'
_WORST: Final = {
    "empty filters": "{ messages(%s, query: {filters: [%s]}) { totalCount } }"
    % (_CHANNEL, "{}" * 900),
    "comparisons": "{ messages(%s, query: {filters: [%s]}) { totalCount } }"
    % (_CHANNEL, '{field: "data", operator: EQ, value: 1}' * 160),
    "one field again and again": "{ messages(%s) { groups { %s } } }"
    % (_CHANNEL, "messages { id } " * 240),
    "fragments of one field": "{ messages(%s) { groups { %s } } } %s"
    % (
        _CHANNEL,
        _used(120, "...F#"),
        _used(120, "fragment F# on MessageGroup { messages { id } }"),
    ),
    "a chain of fragments": "{ ...F0 } %s"
    % " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(240)),
    "fragments in a circle": "{ ...F } fragment F on Query "
    "{ messages(%s) { groups { a: messages { ...G } b: messages { ...G } } } } "
    "fragment G on Message { id ...G }" % _CHANNEL,
    "introspection": "{ %s }" % _used(40, "a#: __schema { types { name fields { name } } }"),
    "introspection with aliases": "{ __schema { types { fields { %s } } } }"
    % _used(48, "a#: type { fields { name } }"),
    "a long name": "{ %s }" % ("a" * 190_000),
    "long names": "{ messages(%s) { %s } }" % (_CHANNEL, _used(490, "a#" + "a" * 380)),
    "a long enum value": "{ messages(%s, query: {sortOrder: %s}) { totalCount } }"
    % (_CHANNEL, "A" * 190_000),
    "a long string": '{ messages(%s, query: {limit: "%s"}) { totalCount } }'
    % (_CHANNEL, "a" * 190_000),
    "one variable often": "query (%s) { __typename }" % ("$a: ID " * 490),
    "undefined variables": "{ messages(%s, query: {filters: [%s]}) { totalCount } }"
    % (_CHANNEL, _used(900, "$v#")),
    "wrong fields": "{ messages(%s, query: {filters: [%s]}) { totalCount } }"
    % (_CHANNEL, "{x: 1} " * 390),
    "directives": "{ __typename %s }" % ("@skip(if: false) " * 48),
    "nothing but brackets": "{" * 1_999,
    "comments": "#\n" * 1_001 + "{ __typename }",
    "blanks": " " * 199_000 + "{",
}


@pytest.mark.parametrize("document", _WORST.values(), ids=_WORST)
def test_the_worst_document_is_answered_at_once(service: Service, document: str) -> None:
    assert service.answers(post, _request(document, b"{}"))


@pytest.mark.parametrize(
    "query",
    [
        b'{"sortOrder":"%b"}' % (b"A" * 1_000_000),
        b'{"%b":1}' % (b"A" * 1_000_000),
        b"{%b}" % b",".join(b'"a%d":1' % number for number in range(80_000)),
        b'{"limit":"%b"}' % (b"1" * 1_000_000),
        b'{"limit":%b}' % (b"1" * 4_000),
        b'{"limit":1e999999}',
        b'{"limit":[%b]}' % b",".join([b"1"] * 100_000),
        b'{"filters":[%b]}' % b",".join(b'{"x%d":1}' % number for number in range(500)),
    ],
    ids=["enum", "key", "keys", "string", "digits", "exponent", "list", "unknown fields"],
)
@pytest.mark.parametrize("way", [post, transport_socket, widget_search])
def test_a_wrong_value_does_not_come_back_whole(service: Service, way: Way, query: bytes) -> None:
    """4 kB of wrong fields came back as 668 kB, and 1 MB of an enum value as 1 MB."""
    payload = query if way is widget_search else _request(SEARCH, b'{"q":%b}' % query)
    codes = service.answers(way, payload)
    # A widget's unknown keys are ignored.
    assert codes == ["BAD_USER_INPUT"] or (way is widget_search and codes == [])


# Tokens.


def _token(claims: bytes, header: bytes = b'{"alg":"HS256"}') -> str:
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    signature = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


async def _refused_token(service: Service, token: bytes) -> list[str]:
    """Show a token on every transport; return the codes."""
    text = token.decode()
    codes = []
    headers = {"authorization": f"Bearer {text}"}
    for accept in ("application/json", "text/event-stream"):
        response = await service.http.get(
            "/graphql?query={__typename}", headers=headers | {"accept": accept}
        )
        assert response.status_code == 401
        codes += _codes(response.json())
    for subprotocol in ("graphql-transport-ws", "graphql-ws"):
        async with connect(
            f"ws://{service.host}/graphql", subprotocols=[Subprotocol(subprotocol)]
        ) as socket:
            payload = {"authToken": text}
            await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
            while not isinstance(answer := await _next(socket), int):
                pass
            assert answer == 4401
    async with connect(f"ws://{service.host}/c8/p/w") as socket:
        await socket.send(json.dumps({"type": "open", "token": text}))
        codes.append((await _next(socket))["code"])
        assert await _next(socket) == 4401
    return codes


_NESTED: Final = b'{"sub":"a","x":%b}'


@pytest.mark.parametrize(
    "claims",
    [
        _NESTED % (b"[" * 900 + b"]" * 900),
        _NESTED % (b'{"a":' * 700 + b"1" + b"}" * 700),
        _NESTED % (b"[" * 2_900 + b"]" * 2_900),
        b'{"projects":[%b]}' % b",".join([b"{}"] * 1_900),
        b'{"exp":%b}' % (b"9" * 5_000),
        b'{"sub":"%b"}' % (b"a" * 5_000),
    ],
    ids=["lists", "objects", "deeper", "wide", "digits", "long"],
)
def test_a_token_without_sense_is_refused_on_every_transport(
    service: Service, claims: bytes
) -> None:
    """Claims nested 900 deep were taken, or overflowed the stack, as deep as it was already."""
    codes = service.answers(_refused_token, _token(claims).encode())
    assert codes == ["UNAUTHENTICATED"] * 3


def test_a_header_of_a_token_nested_deeply_is_refused(service: Service) -> None:
    header = b'{"alg":"HS256","x":%b}' % (b"[" * 900 + b"]" * 900)
    codes = service.answers(_refused_token, _token(b"{}", header).encode())
    assert codes == ["UNAUTHENTICATED"] * 3


# Any shape, in any place.

_units = st.sampled_from(
    [b"1", b"0.5", b"null", b'""', b'"a,[{"', b"{}", b"[]", b'{"not":{}}', b'{"or":[]}', COMPARISON]
)
_size = st.sampled_from([100, 60_000, MOST_BYTES // 2, MOST_BYTES - 600])
_wide = st.builds(
    lambda unit, size: b"[" + b",".join([unit] * (size // (len(unit) + 1))) + b"]", _units, _size
)
_keyed = st.builds(
    lambda unit, size: (
        b"{" + b",".join(b'"%d":%b' % (n, unit) for n in range(size // (len(unit) + 10))) + b"}"
    ),
    _units,
    _size,
)
_deep = st.builds(
    lambda opening, size: opening[0] * (size // 8) + b"1" + opening[1] * (size // 8),
    st.sampled_from([(b"[", b"]"), (b'{"a":', b"}"), (b'{"not":', b"}"), (b"[", b""), (b"", b"}")]),
    _size,
)
_long = st.builds(
    lambda unit, size: b'"' + unit * (size // len(unit)) + b'"',
    st.sampled_from(
        [b"a", "é".encode(), rb"\n", b"\\\\", rb"\"", rb"\ud83d\ude00", rb"\ud83d", b"{", b"[,"]
    ),
    _size,
)
_digits = st.builds(lambda size: b"9" * (size // 4), _size)
_bushy = st.builds(
    lambda levels, size: (
        b"[" + b",".join([b"[" * levels + b"]" * levels] * (size // (2 * levels + 1))) + b"]"
    ),
    st.integers(2, 99),
    _size,
)
_shapes = st.one_of(_wide, _keyed, _deep, _long, _digits, _bushy)

_PLACES: Final = [
    b"%b",
    b'{"query":%b}',
    b'{"query":"{ __typename }","extensions":%b}',
    b'{"query":"{ __typename }","variables":%b}',
    b'{"query":"{ __typename }","operationName":%b}',
    b'{"query":"{ __typename }","unknown":%b}',
    *(
        _request(SEARCH, b'{"q":%b}').replace(b"%b", b"\0").replace(b"\0", place)
        for place in (b"%b", b'{"filters":%b}', b'{"filters":[%b]}', b'{"sortOrder":%b}')
    ),
    _request(SEARCH, b'{"q":{"filters":[{"field":"data","operator":"IN","value":%b}]}}'),
    _request(SUBSCRIBE, b'{"f":%b}'),
    _request(PUBLISH, b'{"d":%b}'),
]
_hostile = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_hostile
@given(
    shape=_shapes,
    place=st.sampled_from(_PLACES),
    way=st.sampled_from([post, event_stream, transport_socket, legacy_graphql_socket]),
)
def test_any_shape_in_any_place_of_a_request(
    service: Service, shape: bytes, place: bytes, way: Way
) -> None:
    service.answers(way, place.replace(b"%b", shape))


@_hostile
@given(shape=_shapes, parameter=st.sampled_from(["query", "variables", "extensions", "other"]))
def test_any_shape_in_the_parameters_of_a_get(
    service: Service, shape: bytes, parameter: str
) -> None:
    async def get_raw(service: Service, payload: bytes) -> list[str]:
        query = "" if parameter == "query" else "query={__typename}&"
        value = quote(payload[:60_000])[:60_000]
        response = await service.http.get(
            f"/graphql?{query}{parameter}={value}", headers={"accept": "application/json"}
        )
        assert response.status_code < 500
        return _codes(response.json())

    service.answers(get_raw, shape)


@_hostile
@given(
    shape=_shapes,
    frame=st.sampled_from(
        [
            b"%b",
            b'{"type":%b}',
            b'{"type":"publish","ref":1,"data":%b}',
            b'{"type":"publish","data":%b,"ref":1}',
            b'{"type":"publish","ref":%b,"data":1}',
            b'{"type":"publish","ref":1,"data":1,"id":%b}',
            b'{"type":"search","ref":1,"query":%b}',
            b'{"type":"search","ref":1,"query":{"filters":%b}}',
            b'{"type":"search","ref":1,"query":{"filters":[{"and":%b}]}}',
            b'{"type":"search","ref":1,"query":{"filters":[{"not":%b}]}}',
            b'{"type":"search","ref":1,"query":'
            b'{"filters":[{"field":"data","operator":"in","value":%b}]}}',
            b'{"type":"search","ref":1,"unknown":%b}',
        ]
    ),
)
def test_any_shape_in_a_widget_s_frame(service: Service, shape: bytes, frame: bytes) -> None:
    async def send(service: Service, payload: bytes) -> list[str]:
        async with connect(f"ws://{service.host}/c8/p/any") as socket:
            await socket.send('{"type":"open"}')
            while (await _next(socket))["type"] != "open":
                pass
            await socket.send(payload, text=True)
            # Answered in the order sent, whatever the first one was.
            await socket.send('{"type":"publish","ref":"last","data":1,"id":7}')
            codes: list[str] = []
            while not isinstance(answer := await _next(socket), int):
                if answer["type"] == "error":
                    if answer.get("ref") == "last":
                        return codes
                    assert len(answer["message"]) <= 500
                    codes.append(answer["code"])
            assert answer in _CLOSED
            return codes

    service.answers(send, frame.replace(b"%b", shape))
