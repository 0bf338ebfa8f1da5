"""The opening handshake: RFC 6455, section 4."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.http11 import Request
from websockets.server import ServerProtocol

from app.wire.handshake import Handshake
from tests.wire.upgrade import scope


def test_the_example_of_the_rfc_is_accepted() -> None:
    handshake = Handshake(scope())
    assert handshake.refusal is None
    answer = handshake.accept(None, [(b"server", b"ours")])
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    # RFC 6455, 1.3: the accept value of the key above.
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert b"\r\nserver: ours\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_subprotocol_is_offered_and_confirmed() -> None:
    handshake = Handshake(scope(sec_websocket_protocol=b"graphql-transport-ws, graphql-ws"))
    assert handshake.subprotocols == ["graphql-transport-ws", "graphql-ws"]
    answer = handshake.accept("graphql-ws", [])
    assert b"\r\nSec-WebSocket-Protocol: graphql-ws\r\n" in answer
    assert Handshake(scope()).subprotocols == []


def test_an_extension_is_never_agreed_to() -> None:
    handshake = Handshake(scope(sec_websocket_extensions=b"permessage-deflate"))
    assert handshake.refusal is None
    assert b"extensions" not in handshake.accept(None, []).lower()


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"sec_websocket_key": None}, b"400"),
        ({"sec_websocket_key": b"too short"}, b"400"),
        ({"sec_websocket_version": b"12"}, b"426"),
        ({"sec_websocket_version": None}, b"426"),
        ({"connection": b"keep-alive"}, b"426"),
        ({"upgrade": b"h2c"}, b"426"),
    ],
)
def test_what_is_no_upgrade_is_refused(changed: dict[str, bytes | None], status: bytes) -> None:
    refusal = Handshake(scope(**changed)).refusal
    assert refusal is not None
    assert refusal.split()[1] == status
    # RFC 6455, 4.2.2: a client of another version learns which one there is.
    assert (b"\r\nSec-WebSocket-Version: 13\r\n" in refusal) == ("sec_websocket_version" in changed)


def test_a_denial_is_a_whole_response_and_the_last() -> None:
    headers = [(b"x-why", b"origin")]
    answer = Handshake(scope()).deny(HTTPStatus.FORBIDDEN, headers, b"not from there")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert sorted(head.lower().split(b"\r\n")[1:]) == [
        b"connection: close",
        b"content-length: 14",
        b"x-why: origin",
    ]
    assert body == b"not from there"


_NAMES = (
    "connection",
    "upgrade",
    "origin",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
)
_VALUES = (
    "Upgrade", "keep-alive, Upgrade", "upgrade,", "keep-alive", "websocket", "WebSocket",
    "h2c, websocket",
    "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZQ", "c2hvcnQ=",
    "dGhlIHNhbXBsZSBub25jZQ== ", "dGhl-HNhbXBsZSBub25jZQ==", "13", "013", "12", "", ",",
    "a, b", "a,b", "a b",
    "graphql-ws", "gr\xe4phql", "http://a", "permessage-deflate; x=", "a/b",
)  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES)), max_size=5),
    st.sets(st.sampled_from(_NAMES)),
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["1.1", "1.0"]),
)
def test_it_accepts_what_websockets_accepts_and_with_the_same_answer(
    changed: list[tuple[str, str]], dropped: set[str], method: str, version: str
) -> None:
    usual = [pair for pair in scope()["headers"] if pair[0].decode() not in dropped]
    headers = [*usual, *((name.encode(), value.encode("latin-1")) for name, value in changed)]
    handshake = Handshake({"method": method, "http_version": version, "headers": headers})
    texts = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    validator = ServerProtocol()
    try:
        accept, _, _ = validator.process_request(Request("/", texts, method, f"HTTP/{version}"))
    except InvalidHandshake:
        assert handshake.refusal is not None
    else:
        assert handshake.refusal is None
        assert f"Sec-WebSocket-Accept: {accept}\r\n".encode() in handshake.accept(None, [])
