"""A head told by its bytes: the same bytes mean the same, anything else is parsed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wire.exchange import RequestHead
from app.wire.repeated_head import RepeatedHead

HEAD = RequestHead(b"/graphql", [(b"host", b"a")])


def request(body: bytes, length: bytes | None = None, more: bytes = b"") -> bytes:
    length = b"%d" % len(body) if length is None else length
    return b"POST /graphql HTTP/1.1\r\nHost: a\r\n%bContent-Length: %b\r\nAccept: */*\r\n\r\n%b" % (
        more,
        length,
        body,
    )


def known(body: bytes = b"{}") -> RepeatedHead:
    found = RepeatedHead.of(request(body), body, HEAD)
    assert found is not None
    return found


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_request_with_another_body_is_known(first: bytes, second: bytes) -> None:
    assert known(first).body_of(request(second)) == second
    assert known(first).head is HEAD


@pytest.mark.parametrize(
    "data",
    [
        request(b"{}")[:-1],
        request(b"{}") + b"P",
        request(b"{}") + request(b"{}"),
        request(b"{}", b"3"),
        request(b"{}", b"+2"),
        request(b"{}", b" 2"),
        request(b"{}", b"2 "),
        request(b"{}", b"2,2"),
        request(b"{}", b""),
        request(b"{}", b"0" * 10 + b"2"),
        request(b"{}", more=b"Content-Length: 2\r\n"),
        request(b"{}").replace(b"POST", b"GET"),
        request(b"{}").replace(b"Host: a", b"Host: b"),
        request(b"{}").replace(b"Accept: */*", b"Accept: */*\r\nTransfer-Encoding: chunked"),
        b"\r\n" + request(b"{}"),
        b"",
    ],
)
def test_any_other_bytes_are_not(data: bytes) -> None:
    assert known().body_of(data) is None


@pytest.mark.parametrize(
    ("data", "body"),
    [
        # Not the form that can be cut: it was parsed, and will be each time.
        (request(b"{}", more=b"Content-Length: 2\r\n"), b"{}"),
        (request(b"{}", b"2 "), b"{}"),
        (request(b"{}").replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"), b"{}"),
        (request(b"{}").replace(b"\r\n", b"\n"), b"{}"),
        (request(b"{}") + b"P", b"{}"),
        (request(b"{}", more=b"A: " + b"a" * 4096 + b"\r\n"), b"{}"),
        (request(b"2\r\n{}\r\n0\r\n\r\n"), b"{}"),
    ],
)
def test_what_cannot_be_cut_is_not_kept(data: bytes, body: bytes) -> None:
    assert RepeatedHead.of(data, body, HEAD) is None
