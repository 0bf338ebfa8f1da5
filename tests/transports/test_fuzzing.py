"""Anything at all on the wire: the service lives, tells nothing internal, holds no turn for long.

Here structure is what varies; `test_hostile_input` varies size. A few seconds by default, each run
with other examples; with `FUZZ_EXAMPLES=5000` and `pytest --timeout=0` it goes on for minutes.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from app.schema import build_schema
from tests.transports.bad_requests import PROJECT, SUBSCRIPTIONS, WELL_FORMED
from tests.transports.bad_rooms import MUTATIONS
from tests.transports.endpoints import ENDPOINTS, opened
from tests.transports.raw_http import head
from tests.transports.refusing import INTERNALS, Service
from tests.transports.ways import Way, multipart, post, transport_socket
from tests.turns import Turns
from tests.wire.wire import client_frame

LONGEST_TURN_SECONDS: Final = 0.15
_PATIENCE_SECONDS: Final = 20
_fuzz: Final = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[*HealthCheck],
)


def _held(service: Service, work: Callable[[], Awaitable[None]]) -> None:
    """Do something to the service, and assert that it held no turn and has nothing to tell."""

    async def within() -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await work()

    with Turns() as turns:
        service.runner.run(within())
    assert not service.complaints
    assert turns.longest_seconds < LONGEST_TURN_SECONDS


# JSON of any form, with the words of the protocols in it.

_WORDS: Final = [
    *("type", "id", "payload", "query", "variables", "operationName", "extensions", "documentId"),
    *("persistedQuery", "sha256Hash", "version", "authToken", "Authorization", "clientToken"),
    *("ref", "data", "ids", "reason", "client_id", "persistent", "token", "client_token", "after"),
    *("filters", "field", "operator", "value", "and", "or", "not", "sortField", "groupBy", "limit"),
    *("connection_init", "subscribe", "start", "complete", "stop", "ping", "pong", "open"),
    *("publish", "retract", "search", "connection_terminate", "{ __typename }", "{", "REPLACE"),
    *("data.a", "data.", "EQ", "IN", ">", "created", "__proto__", "signed-x", "Bearer x", "1"),
]
_text: Final = st.one_of(st.sampled_from(_WORDS), st.text(max_size=12))
_leaf: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, 10**30]),
    st.floats(allow_nan=False, allow_infinity=False),
    _text,
)
_json: Final = st.recursive(
    _leaf,
    lambda inside: st.one_of(
        st.lists(inside, max_size=5), st.dictionaries(_text, inside, max_size=6)
    ),
    max_leaves=25,
)
_surrogates: Final = st.characters(codec=None, categories=["Cs"])


def _encoded(value: object) -> bytes:
    return json.dumps(value).encode()


_documents: Final = [
    json.loads(bad.payload.replace(PROJECT, "fuzz"))["query"]
    for bad in (*WELL_FORMED, *SUBSCRIPTIONS, *MUTATIONS)
]


# Frames.

_TYPES: Final = [
    *("connection_init", "subscribe", "start", "complete", "stop", "ping", "pong"),
    *("open", "publish", "retract", "search", "connection_terminate", "dance"),
]
_message: Final = st.builds(
    lambda kind, rest: _encoded(rest | {"type": kind}),
    st.one_of(st.sampled_from(_TYPES), _json),
    st.dictionaries(_text, _json, max_size=6),
)
_payload: Final = st.one_of(
    _message,
    _json.map(_encoded),
    st.binary(max_size=200),
    # One byte of something that may be good is another, is missing, or is there twice.
    st.builds(
        lambda text, at, byte: text[: at % len(text)] + byte + text[at % len(text) + 1 :],
        _message,
        st.integers(0, 1000),
        st.binary(max_size=2),
    ),
    st.integers(0, 70_000).map(lambda size: b'{"type":"ping"}' + b" " * size),
)
_frame: Final = st.builds(
    lambda opcode, payload, fin, mask: client_frame(opcode, payload, fin=fin, mask=mask),
    st.one_of(st.just(1), st.just(1), st.integers(0, 15)),
    _payload,
    st.sampled_from([True, True, True, False]),
    st.sampled_from([True] * 9 + [False]),
)
_stream: Final = st.one_of(
    st.lists(_frame, max_size=8).map(b"".join),
    st.binary(max_size=300),
    st.builds(lambda frames, at: b"".join(frames)[:at], st.lists(_frame), st.integers(0, 400)),
)


@_fuzz
@given(endpoint=st.sampled_from(list(ENDPOINTS)), introduced=st.booleans(), said=_stream)
def test_any_bytes_on_a_socket(
    service: Service, endpoint: str, introduced: bool, said: bytes
) -> None:
    async def talk() -> None:
        async with opened(service.host, ENDPOINTS[endpoint], introduced=introduced) as socket:
            socket.transport.write(said)
            # It may still wait for the rest of a frame.
            socket.transport.write_eof()
            try:
                while True:
                    text = await socket.recv()
                    assert not INTERNALS.search(text if isinstance(text, str) else "")
            except ConnectionClosed:
                assert socket.close_code != 1011
                assert not INTERNALS.search(socket.close_reason or "")
        async with opened(service.host, ENDPOINTS[endpoint], introduced=True) as other:
            assert other.close_code is None

    _held(service, talk)


# HTTP.

_token: Final = st.sampled_from([b"GET", b"POST", b"PUT", b"OPTIONS", b"HEAD", b"get", b"", b"\0"])
_name: Final = st.one_of(
    st.sampled_from(
        [
            *(b"Content-Type", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade"),
            *(b"Accept", b"Authorization", b"Origin", b"Expect", b"Host", b"Widgetwire-Client"),
            *(b"Sec-WebSocket-Key", b"Sec-WebSocket-Version", b"Sec-WebSocket-Protocol"),
            *(b"If-None-Match", b"Last-Event-ID", b"X-Forwarded-For", b"Content-Encoding"),
        ]
    ),
    st.binary(max_size=8),
)
_value: Final = st.one_of(
    st.sampled_from(
        [
            *(
                b"application/json",
                b"text/event-stream",
                b"multipart/mixed",
                b"*/*;q=0",
                b"chunked",
            ),
            *(
                b"keep-alive",
                b"close",
                b"Upgrade",
                b"websocket",
                b"100-continue",
                b"0",
                b"-1",
                b"5",
            ),
            *(b"99999999999999999999", b"graphql-transport-ws", b"Bearer x", b"null", b"13", b"*"),
            *(b"dGhlIHNhbXBsZSBub25jZQ==", b"", b"\xff", b"1, 1", b"::1", b"gzip, chunked"),
        ]
    ),
    st.binary(max_size=20),
)
_target: Final = st.one_of(
    st.sampled_from(
        [b"/graphql", b"/graphql?query={__typename}", b"/graphql?documentId=a", b"/c8/p/w", b"*"]
    ),
    st.builds(lambda query: b"/graphql?" + query, st.binary(max_size=60)),
    st.binary(max_size=30),
)
_body: Final = st.one_of(
    st.binary(max_size=100),
    _json.map(_encoded),
    st.builds(lambda query: _encoded({"query": query}), st.sampled_from(_documents)),
    st.sampled_from([b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"fffffffff\r\n", b"-1\r\n"]),
)


@_fuzz
@given(
    method=_token,
    target=_target,
    lines=st.lists(st.tuples(_name, _value), max_size=6),
    declared=st.booleans(),
    body=_body,
)
def test_any_bytes_of_a_request(
    service: Service,
    method: bytes,
    target: bytes,
    lines: list[tuple[bytes, bytes]],
    declared: bool,
    body: bytes,
) -> None:
    fields = [b"%b: %b" % pair for pair in lines]
    if declared:
        fields += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]

    async def talk() -> None:
        host, _, port = service.host.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(head(*fields, method=method, target=target) + body)
            writer.write_eof()
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
        finally:
            writer.close()
        for line in answer.split(b"\r\n"):
            if line.startswith(b"HTTP/1.1 "):
                status = int(line.split(b" ")[1])
                assert status < 500 or status in {501, 505}, answer
        assert not INTERNALS.search(answer.decode(errors="replace"))
        assert (await service.http.get("/healthz/live")).status_code == 200

    _held(service, talk)


# Documents and variables.

_SCHEMA: Final = build_schema()._schema
_NAMES: Final = sorted(
    {name for kind in _SCHEMA.type_map.values() for name in getattr(kind, "fields", ())}
    | {"query", "mutation", "subscription", "fragment", "on", "F", "Message", "MessageResult"}
)
_PUNCTUATION: Final = [*"{}()[]:!$=@&|,", "...", '"a"', '"""b"""', "$v", "1", "-0", "1.5e9", "#"]
_soup: Final = st.lists(
    st.one_of(st.sampled_from(_NAMES), st.sampled_from(_PUNCTUATION)), max_size=60
).map(" ".join)


def _changed(document: str, at: int, what: str, times: int) -> str:
    tokens = document.split() or ["{"]
    place = at % len(tokens)
    tokens[place : place + 1] = {
        "drop": [],
        "repeat": [tokens[place]] * times,
        "next": tokens[place : place + 1] + tokens[place - 1 : place],
        "deep": ["{ messages"] * times,
        "alias": [f"a{number}: {tokens[place]}" for number in range(times)],
    }.get(what, [what])
    return " ".join(tokens)


_document: Final = st.one_of(
    _soup,
    st.builds(
        _changed,
        st.sampled_from(_documents),
        st.integers(0, 200),
        st.one_of(
            st.sampled_from(["drop", "repeat", "next", "deep", "alias"]),
            st.sampled_from(_NAMES),
            st.sampled_from(_PUNCTUATION),
        ),
        st.integers(2, 60),
    ),
    st.text(max_size=60),
)
_variables: Final = st.dictionaries(
    st.sampled_from(
        [
            "project",
            "widget",
            "query",
            "data",
            "filters",
            "after",
            "last",
            "ids",
            "policy",
            "b",
            "p",
        ]
    ),
    _json,
    max_size=5,
)


async def _answered(service: Service, way: Way, body: str) -> None:
    answer = await way(service.http, body.encode())
    assert answer.status < 500 or answer.status in {1007, 4400}
    assert answer.errors or answer.executed or answer.status != 200
    for error in answer.errors:
        assert error["extensions"]["code"] != "INTERNAL_SERVER_ERROR"
        assert not INTERNALS.search(error["message"])


@_fuzz
@given(document=_document, way=st.sampled_from([post, multipart, transport_socket]))
def test_any_document(service: Service, document: str, way: Way) -> None:
    body = json.dumps({"query": document}).replace(PROJECT, "fuzz")
    _held(service, lambda: _answered(service, way, body))


_OPERATIONS: Final = [json.loads(bad.payload) for bad in (*WELL_FORMED, *MUTATIONS)]


@_fuzz
@given(
    operation=st.sampled_from(_OPERATIONS),
    variables=_variables,
    way=st.sampled_from([post, multipart, transport_socket]),
)
def test_any_variables(
    service: Service, operation: dict[str, Any], variables: dict[str, Any], way: Way
) -> None:
    given_ = {**operation.get("variables", {}), **variables}
    # What is good after all is stored, and the project of bad requests stays empty.
    body = json.dumps({"query": operation["query"], "variables": given_}).replace(PROJECT, "fuzz")
    _held(service, lambda: _answered(service, way, body))
