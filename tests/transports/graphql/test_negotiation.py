"""What an Accept header is answered with."""

import pytest

from app.transports.graphql.negotiation import MediaType, Preferences

JSON, GRAPHQL = MediaType.JSON, MediaType.GRAPHQL_JSON
SSE, MULTIPART = MediaType.EVENT_STREAM, MediaType.MULTIPART
APOLLO = (
    "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,"
    "application/graphql-response+json,application/json;q=0.9"
)
URQL = "application/graphql-response+json, application/graphql+json, application/json, " + (
    "text/event-stream, multipart/mixed"
)


@pytest.mark.parametrize(
    ("accept", "one", "stream"),
    [
        (None, JSON, None),
        ("", JSON, None),
        ("*/*", JSON, None),
        ("application/*", JSON, None),
        ("application/json", JSON, None),
        ("application/graphql-response+json", GRAPHQL, None),
        ("application/graphql-response+json, application/json", JSON, None),
        ("application/graphql-response+json, application/json;q=0.9", GRAPHQL, None),
        ("application/graphql-response+json;q=0.1, */*", JSON, None),
        ("APPLICATION/JSON; charset=utf-8", JSON, None),
        ("text/event-stream", SSE, SSE),
        ("text/event-stream, application/json", JSON, SSE),
        ("multipart/mixed", None, MULTIPART),
        (APOLLO, GRAPHQL, MULTIPART),
        (URQL, JSON, MULTIPART),
        ("text/event-stream, multipart/mixed;q=0.5", SSE, SSE),
        ("application/json;q=0", None, None),
        ("application/json;q=nonsense", None, None),
        ("text/html", None, None),
        (",,;", None, None),
    ],
)
def test_accept(accept: str | None, one: MediaType | None, stream: MediaType | None) -> None:
    preferences = Preferences.of(accept)
    assert preferences.one_response() == one
    assert preferences.stream() == stream


def test_a_browser_wants_a_page() -> None:
    assert Preferences.of("text/html,application/xhtml+xml,*/*;q=0.8").html()
    assert not Preferences.of("*/*").html()


def test_a_long_header_is_read_and_not_kept() -> None:
    """256 headers of 64 KiB, parsed, stayed for good."""
    long = "application/json;q=0.5, " + "x/y;" + "z" * 10_000
    before = Preferences._kept.cache_info().currsize
    assert Preferences.of(long).one_response() is JSON
    assert Preferences._kept.cache_info().currsize == before
