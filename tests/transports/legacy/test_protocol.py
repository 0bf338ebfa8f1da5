import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import (
    BadUserInput,
    ErrorCode,
    Forbidden,
    ShuttingDown,
    SubscriberTooSlow,
    TokenExpired,
    Unauthenticated,
    Unavailable,
    UnknownCursor,
    WidgetwireError,
)
from app.transports.legacy.frames import Open, Publish, Refused, Retract, Search
from app.transports.legacy.protocol import Close, Protocol, State
from app.wire.close_codes import CloseCode

OPEN = '{"type":"open"}'


def opened() -> Protocol:
    protocol = Protocol()
    protocol.receive(OPEN)
    protocol.ready()
    return protocol


def test_open_then_publish_then_search() -> None:
    protocol = Protocol()
    assert isinstance(protocol.receive(OPEN), Open)
    # A client may go on before the reply.
    assert isinstance(protocol.receive('{"type":"publish","data":1}'), Publish)
    protocol.ready()
    assert isinstance(protocol.receive('{"type":"search","ref":1}'), Search)


def test_a_bad_field_leaves_the_socket_open() -> None:
    protocol = opened()
    assert isinstance(protocol.receive('{"type":"publish","ref":1}'), Refused)
    assert isinstance(protocol.receive('{"type":"publish","ref":1,"data":1}'), Publish)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"type":"publish","data":1}', CloseCode.MALFORMED),
        ('{"type":"open","persistent":7}', CloseCode.MALFORMED),
        ("hello", CloseCode.MALFORMED),
        ("[]", CloseCode.MALFORMED),
        ('{"type":"dance"}', CloseCode.MALFORMED),
    ],
)
def test_a_bad_first_frame_ends_it(text: str, code: CloseCode) -> None:
    protocol = Protocol()
    decision = protocol.receive(text)
    assert isinstance(decision, Close)
    assert decision.code == code
    assert protocol.state is State.CLOSED
    assert protocol.receive(OPEN) is None


@pytest.mark.parametrize("ready", [False, True])
def test_a_second_open_ends_it(ready: bool) -> None:
    protocol = Protocol()
    protocol.receive(OPEN)
    if ready:
        protocol.ready()
    assert protocol.receive(OPEN) == Close(
        CloseCode.CONFLICT, ErrorCode.BAD_USER_INPUT, "a second open is not allowed"
    )


def test_a_binary_message_ends_it() -> None:
    protocol = opened()
    close = protocol.receive_binary()
    assert close is not None
    assert close.code == CloseCode.MALFORMED
    assert protocol.receive_binary() is None


def test_no_open_in_time_ends_it() -> None:
    protocol = Protocol()
    close = protocol.timed_out()
    assert close is not None
    assert close.code == CloseCode.INITIALISATION_TIMEOUT
    assert protocol.timed_out() is None
    assert opened().timed_out() is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unauthenticated("x"), 4401),
        (TokenExpired("x"), 4403),
        (Forbidden("x"), 4401),
        (UnknownCursor("x"), 4400),
        (BadUserInput("x"), 4400),
        (Unavailable("x"), 1013),
        (ShuttingDown(), 1012),
        (SubscriberTooSlow("9 messages are waiting, at most 8 are allowed"), 1013),
        (WidgetwireError("x"), 1011),
    ],
)
def test_the_close_code_tells_the_client_what_to_do_next(error: WidgetwireError, code: int) -> None:
    protocol = opened()
    close = protocol.failed(error)
    assert close is not None
    assert close.code == code
    assert close.error == error.code
    assert protocol.failed(error) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
frames = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["open", "publish", "retract", "search", "message"]) | json_values,
        **dict.fromkeys(
            [
                "ref",
                "client_id",
                "persistent",
                "token",
                "client_token",
                "after",
                "data",
                "id",
                "query",
            ],
            json_values,
        ),
        "ids": json_values | st.lists(st.text()),
        **dict.fromkeys(["on_repeat", "reason"], json_values),
    },
)
valid_frames = st.one_of(
    st.fixed_dictionaries({"type": st.just("open"), "client_id": st.none() | st.text(min_size=1)}),
    st.fixed_dictionaries(
        {"type": st.just("publish"), "ref": st.integers() | st.text(), "data": json_values}
    ),
    st.fixed_dictionaries(
        {"type": st.just("search"), "ref": st.integers(), "query": st.just({"limit": 1})}
    ),
)
texts = st.one_of(
    st.text(st.characters(codec="utf-8")),
    st.binary(max_size=40),
    json_values.map(json.dumps),
    frames.map(json.dumps),
    frames.map(lambda frame: json.dumps(frame)[: len(json.dumps(frame)) // 2]),
    valid_frames.map(json.dumps),
    st.integers(1, 20_000).map(lambda depth: '{"type":"publish","data":' + "[" * depth),
    st.integers(1, 20_000).map(
        lambda depth: '{"type":"publish","ref":1,"data":' + "[" * depth + "]" * depth + "}"
    ),
)


@given(st.lists(texts, max_size=12), st.data())
def test_any_sequence_of_frames_gives_a_defined_decision(
    sequence: list[Any], data: st.DataObject
) -> None:
    protocol = Protocol()
    for text in sequence:
        before = protocol.state
        decision = protocol.receive(text)
        if before is State.CLOSED:
            assert decision is None
            assert protocol.state is State.CLOSED
            continue
        match decision:
            case Close(code=code, reason=reason):
                assert protocol.state is State.CLOSED
                assert code in (CloseCode.MALFORMED, CloseCode.CONFLICT)
                assert reason
            case Open():
                assert (before, protocol.state) == (State.AWAITING_OPEN, State.OPENING)
                if data.draw(st.booleans()):
                    protocol.ready()
            case Publish() | Retract() | Search() | Refused():
                assert before in (State.OPENING, State.OPEN)
                assert protocol.state is before
            case _:
                raise AssertionError(decision)
