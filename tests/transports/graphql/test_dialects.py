"""The two GraphQL subprotocols: what a text says, and the frames that answer it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.transports.graphql.dialects import (
    ApolloDialect,
    ConnectionInit,
    Dialect,
    Malformed,
    Ping,
    Pong,
    Start,
    Stop,
    Terminate,
    TransportDialect,
    Unexecutable,
)
from app.transports.graphql.parameters import Parameters

TRANSPORT, LEGACY = TransportDialect(), ApolloDialect()
DIALECTS = pytest.mark.parametrize("dialect", [TRANSPORT, LEGACY])
QUERY = {"query": "{ a }"}
PARAMETERS = Parameters("{ a }", None, {})


def read(dialect: Dialect, **message: Any) -> object:
    return dialect.read(json.dumps(message))


def read_frame(frame: bytes | None) -> Any:
    assert frame is not None
    return json.loads(frame)


@DIALECTS
def test_the_first_message_introduces_the_client(dialect: Dialect) -> None:
    payload = {"authToken": "x"}
    assert read(dialect, type="connection_init", payload=payload) == ConnectionInit(payload)
    assert read(dialect, type="connection_init") == ConnectionInit({})
    assert read_frame(dialect.ack) == {"type": "connection_ack"}


def test_each_protocol_has_words_of_its_own() -> None:
    assert read(TRANSPORT, type="subscribe", id="1", payload=QUERY) == Start("1", PARAMETERS)
    assert read(TRANSPORT, type="complete", id="1") == Stop("1")
    assert read(TRANSPORT, type="ping", payload={"a": 1}) == Ping({"a": 1})
    assert read(TRANSPORT, type="pong") == Pong()
    assert read(LEGACY, type="start", id="1", payload=QUERY) == Start("1", PARAMETERS)
    assert read(LEGACY, type="stop", id="1") == Stop("1")
    assert read(LEGACY, type="connection_terminate") == Terminate()
    for dialect, word in ((TRANSPORT, "start"), (LEGACY, "subscribe"), (LEGACY, "ping")):
        answer = read(dialect, type=word, id="1", payload=QUERY)
        assert isinstance(answer, Malformed)
        assert answer.reason.startswith(f"type is '{word}'; allowed: connection_init, ")


@DIALECTS
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "unexpected end"),
        ("[]", "expected a JSON object"),
        ("{}", "the message has no type"),
        ('{"type":1}', "type is 1"),
        ('{"type":"connection_init","payload":[]}', "payload is"),
    ],
)
def test_what_is_no_message_says_why(dialect: Dialect, text: str, reason: str) -> None:
    answer = dialect.read(text)
    assert isinstance(answer, Malformed)
    assert reason in answer.reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"payload": QUERY}, "id is missing"),
        ({"id": 1, "payload": QUERY}, "id is 1"),
        ({"id": "", "payload": QUERY}, "id has 0 characters"),
        ({"id": "x" * 257, "payload": QUERY}, "id has 257 characters; allowed: 1 to 256"),
    ],
)
def test_an_operation_needs_an_id(message: dict[str, Any], reason: str) -> None:
    for answer in (
        read(TRANSPORT, type="subscribe", **message),
        read(LEGACY, type="start", **message),
    ):
        assert isinstance(answer, Malformed)
        assert reason in answer.reason


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {"query": 1}}])
def test_a_start_that_is_no_request_ends_the_socket_or_the_operation(
    payload: dict[str, Any],
) -> None:
    """The legacy protocol knows no close codes: its client would come back and send it again."""
    assert isinstance(read(TRANSPORT, type="subscribe", id="1", **payload), Malformed)
    answer = read(LEGACY, type="start", id="1", **payload)
    assert isinstance(answer, Unexecutable)
    assert answer.id == "1"
    assert answer.error["extensions"] == {"code": "BAD_USER_INPUT"}


@DIALECTS
def test_an_answer_names_its_operation(dialect: Dialect) -> None:
    kinds = ("next", "error") if dialect is TRANSPORT else ("data", "error")
    error = {"message": "no", "extensions": {"code": "FORBIDDEN"}}
    told = read_frame(dialect.next(b'"1"', b'{"data":{"a":1}}'))
    assert told == {"type": kinds[0], "id": "1", "payload": {"data": {"a": 1}}}
    told = read_frame(dialect.error(b'"1"', [error]))
    assert (told["type"], told["id"]) == (kinds[1], "1")
    assert told["payload"] in (error, [error])
    assert read_frame(dialect.complete(b'"1"')) == {"type": "complete", "id": "1"}


def test_a_ping_comes_back_as_it_was() -> None:
    assert read_frame(TRANSPORT.pong(Ping(None))) == {"type": "pong"}
    assert read_frame(TRANSPORT.pong(Ping({"a": 1}))) == {"type": "pong", "payload": {"a": 1}}


def test_only_the_legacy_protocol_says_why_it_refuses_a_client() -> None:
    """The other one has close codes for it."""
    error = {"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}
    assert TRANSPORT.refused(error) is None
    assert read_frame(LEGACY.refused(error)) == {"type": "connection_error", "payload": error}


@given(st.text() | st.binary() | st.builds(json.dumps, st.dictionaries(st.text(), st.integers())))
def test_any_text_gives_an_answer(text: str | bytes) -> None:
    for dialect in (TRANSPORT, LEGACY):
        assert isinstance(dialect.read(text), Malformed)
