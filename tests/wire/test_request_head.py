"""Which heads are taken, which are refused and with what: RFC 9112, on a raw socket."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wire.request_head import Head, HttpRefusal, checked_head
from tests.transports.raw_http import UPGRADE, answer_to, head, served

pytestmark = pytest.mark.anyio

CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no Host"),
        pytest.param(head(b"Host: b", method=b"GET"), 400, id="two Hosts"),
        pytest.param(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, id="two in HTTP/1.0"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, id="Host with a path"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, id="Host with a user"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, id="a list as Host"),
        pytest.param(UPGRADE.replace(b"Host: a\r\n", b""), 400, id="upgrade without Host"),
        pytest.param(UPGRADE.replace(b"\r\n\r\n", b"\r\nHost: b\r\n\r\n"), 400, id="... with two"),
        pytest.param(
            head(b"Transfer-Encoding: gzip, chunked") + END, 501, id="a coding we do not know"
        ),
        pytest.param(head(b"Transfer-Encoding: gzip", CHUNKED) + END, 501, id="... in two headers"),
        pytest.param(head(b"Transfer-Encoding: gzip") + END, 400, id="no chunked at all"),
        pytest.param(head(b"Transfer-Encoding: chunked, chunked") + END, 400, id="chunked twice"),
        pytest.param(head(CHUNKED, b"Content-Length: 5") + END, 400, id="both framings"),
        pytest.param(head(b"Content-Length: 5", CHUNKED) + END, 400, id="both, reversed"),
        pytest.param(
            head(b"Content-Length: 1", b"Content-Length: 2") + b"x", 400, id="two lengths"
        ),
        pytest.param(
            b"POST / HTTP/1.0\r\nHost: a\r\n" + CHUNKED + b"\r\n\r\n" + END, 400, id="1.0, chunked"
        ),
        pytest.param(b"GET /\r\n\r\n", 505, id="HTTP/0.9"),
        pytest.param(head(b"A: b\r\n c", method=b"GET"), 400, id="a folded line"),
        pytest.param(head(b"A : b", method=b"GET"), 400, id="a space behind a name"),
        pytest.param(head(b"A: b\x00", method=b"GET"), 400, id="NUL"),
        pytest.param(head(method=b"CONNECT", target=b"a:80"), 501, id="CONNECT"),
        pytest.param(head(method=b"GET", target=b"*"), 400, id="an asterisk that is no OPTIONS"),
        pytest.param(head(method=b"GET", target=b"/#a"), 400, id="a fragment"),
        pytest.param(head(method=b"GET", target=b"ftp://a/"), 400, id="another scheme"),
        pytest.param(head(method=b"GET", target=b"http://u:p@a/"), 400, id="a user in the target"),
        pytest.param(
            UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n12345"),
            400,
            id="an upgrade with content",
        ),
    ],
)
async def test_a_wrong_head_is_refused_and_the_connection_closed(
    request_bytes: bytes, status: int
) -> None:
    async with served() as port:
        answer = await answer_to(port, request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert answer.count(b"connection: close") == 1


@pytest.mark.parametrize(
    ("request_bytes", "host"),
    [
        (head(b"Connection: close", method=b"GET", target=b"/head"), "a"),
        (b"GET /head HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", ""),
        (b"GET /head HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n", "[::1]:80"),
        (b"GET /head HTTP/1.0\r\nHost: a\r\n\r\n", "a"),
        # RFC 9112, 3.2.2: the target's host counts, not the header's.
        (head(b"Connection: close", method=b"GET", target=b"http://other:81/head?x"), "other:81"),
    ],
)
async def test_a_right_head_reaches_the_application(request_bytes: bytes, host: str) -> None:
    async with served() as port:
        answer = await answer_to(port, request_bytes)
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert told["path"] == "/head"
    assert [value for name, value in told["headers"] if name == "host"] == [host]


async def test_http_1_0_without_a_host_is_answered() -> None:
    async with served() as port:
        assert (await answer_to(port, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")


async def test_a_stream_to_http_1_0_is_not_chunked() -> None:
    """Once a client of HTTP/1.0 got chunks that its protocol does not have."""
    async with served() as port:
        answer = await answer_to(port, b"GET /stream HTTP/1.0\r\n\r\n")
    fields, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in fields
    assert body == b"one two three"


async def test_trailers_do_not_become_headers() -> None:
    """They once did: a token or an origin could be given behind the body."""
    async with served() as port:
        answer = await answer_to(
            port,
            head(CHUNKED, b"Connection: close", target=b"/head")
            + b"1\r\nx\r\n0\r\nAuthorization: Bearer secret\r\nOrigin: https://a\r\n\r\n",
        )
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"secret" not in answer
    assert b"origin" not in answer


@pytest.mark.parametrize("connection", [b"Upgrade, HTTP2-Settings", b"upgrade"])
async def test_the_content_of_a_request_that_offers_another_protocol_is_read(
    connection: bytes,
) -> None:
    """Java's HTTP client offers h2c with every first request; its body was lost."""
    request = head(
        b"Connection: " + connection, b"Upgrade: h2c", b"HTTP2-Settings: x", b"Content-Length: 5"
    )
    async with served() as port:
        whole = await answer_to(port, request + b"12345" + head(b"Connection: close"))
        parts = await answer_to(
            port, request, b"123", b"45" + head(b"Connection: close"), pause_seconds=0.02
        )
    for answer in (whole, parts):
        assert answer.count(b"HTTP/1.1 200 OK") == 2
        assert b"\r\n\r\n5HTTP/1.1" in answer


async def test_an_upgrade_in_http_1_0_is_ignored() -> None:
    """RFC 9110, 7.8: "A server MUST ignore an Upgrade header field that is received in an
    HTTP/1.0 request."
    """
    async with served() as port:
        answer = await answer_to(port, UPGRADE.replace(b"/echo HTTP/1.1", b"/ HTTP/1.0"))
    assert answer.startswith(b"HTTP/1.1 200")


async def test_no_100_for_http_1_0() -> None:
    async with served() as port:
        request = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
        answer = await answer_to(port, request, b"x", pause_seconds=0.05)
    assert answer.startswith(b"HTTP/1.1 200")


async def test_100_comes_when_the_content_is_going_to_be_read() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(b"Expect: 100-continue", b"Content-Length: 1"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"x")
        assert (await reader.readuntil(b"\r\n\r\n1")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_no_100_for_content_that_is_refused_unread_and_the_connection_closes() -> None:
    """Without the close, nobody knows whether the next bytes are the content or a request."""
    async with served() as port:
        answer = await answer_to(
            port, head(b"Expect: 100-continue", b"Content-Length: 9", target=b"/early")
        )
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"host", b"transfer-encoding", b"content-length", b"connection", b"upgrade", b"x"]
        ),
        st.binary(max_size=20) | st.sampled_from([b"a", b"chunked", b"websocket", b"0", b"5"]),
    ),
    max_size=6,
)


@given(
    st.sampled_from([b"GET", b"POST", b"OPTIONS", b"CONNECT"]),
    st.binary(min_size=1, max_size=40) | st.sampled_from([b"/", b"*", b"http://a/b"]),
    st.sampled_from(["0.9", "1.0", "1.1", "2.0"]),
    HEADERS,
)
def test_whatever_comes_it_is_a_head_in_order_or_a_refusal(
    method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]]
) -> None:
    try:
        checked = checked_head(method, target, version, headers)
    except HttpRefusal:
        return
    assert isinstance(checked, Head)
    assert checked.target == b"*" or checked.target.startswith(b"/")
    hosts = [value for name, value in headers if name == b"host"]
    assert len(hosts) == 1 or (not hosts and version == "1.0")
