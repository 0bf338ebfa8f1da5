"""What the header fields of a request say of its body and its answer."""

import pytest
from starlette.datastructures import Headers

from app.errors import PayloadTooLarge
from app.transports.graphql.request_fields import (
    accepted,
    check_declared_length,
    unsupported_content,
)


def fields(*pairs: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.encode(), value.encode()) for name, value in pairs])


def test_several_accept_fields_are_one_list() -> None:
    assert accepted(fields()) is None
    assert accepted(fields(("accept", "a"), ("accept", "b;q=0.1, c"))) == "a, b;q=0.1, c"


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([("content-type", "application/json")], None),
        ([("content-type", "Application/JSON; charset=UTF-8")], None),
        ([("content-type", "application/json"), ("content-encoding", "identity")], None),
        ([], "the Content-Type header is missing; expected application/json"),
        (
            [("content-type", "text/plain")],
            "the Content-Type is 'text/plain'; expected application/json",
        ),
        (
            [("content-type", "application/json; charset=latin-1")],
            "the Content-Type is 'application/json; charset=latin-1'; the only supported charset "
            "is utf-8",
        ),
        (
            [("content-type", "application/json"), ("content-encoding", "gzip")],
            "the Content-Encoding is 'gzip'; send the body uncompressed",
        ),
    ],
)
def test_only_plain_json_is_read(pairs: list[tuple[str, str]], said: str | None) -> None:
    assert unsupported_content(fields(*pairs)) == said


def test_a_declared_length_is_judged_before_a_byte_is_read() -> None:
    for declared in ("10", "", "x", "-1"):
        check_declared_length(fields(("content-length", declared)), 10)
    with pytest.raises(PayloadTooLarge, match="the body has 11 bytes; at most 10 are allowed"):
        check_declared_length(fields(("content-length", "11")), 10)
