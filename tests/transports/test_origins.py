"""Which pages may connect."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.errors import ConfigurationError
from app.transports.origins import OriginPolicy

ALLOWED = (
    "https://video.example",
    "http://localhost:3000",
    "https://[::1]:8443",
    "https://*.wild.example",
)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "widgets.example", True),
        ("https://widgets.example", "widgets.example", True),
        ("http://widgets.example:8000", "widgets.example:8000", True),
        ("https://widgets.example", "widgets.example:443", True),
        ("https://Widgets.Example", "widgets.EXAMPLE", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("https://video.example", "widgets.example", True),
        ("https://video.example:443", "widgets.example", True),
        ("http://localhost:3000", "widgets.example", True),
        ("https://[::1]:8443", "widgets.example", True),
        ("https://a.b.wild.example", "widgets.example", True),
        ("https://wild.example", "widgets.example", False),
        ("http://video.example", "widgets.example", False),
        ("https://video.example:8443", "widgets.example", False),
        ("https://video.example.evil.example", "widgets.example", False),
        ("https://evilvideo.example", "widgets.example", False),
        ("http://widgets.example:8001", "widgets.example:8000", False),
        ("null", "widgets.example", False),
        ("null", "null", False),
        ("", "", False),
        ("https://widgets.example", None, False),
        ("https://widgets.example/path", "widgets.example", False),
        ("https://me@widgets.example", "widgets.example", False),
        ("https://widgets.example:99999", "widgets.example:99999", False),
        ("file://", "widgets.example", False),
    ],
)
def test_a_handshake_is_allowed_from(origin: str | None, host: str | None, allowed: bool) -> None:
    assert OriginPolicy(ALLOWED).allows(origin, host) is allowed


def test_a_star_allows_every_origin() -> None:
    policy = OriginPolicy(("*",))
    assert policy.allows("https://anywhere.example", "widgets.example")
    assert policy.allows("null", "widgets.example")


def test_null_is_allowed_where_it_is_listed() -> None:
    """Video sites embed widgets in sandboxed frames, whose pages have no origin."""
    assert OriginPolicy(("null",)).allows("null", "widgets.example")
    assert not OriginPolicy(("null",)).allows("https://anywhere.example", "widgets.example")


def test_a_configured_origin_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"got 'video\.example'"):
        OriginPolicy(("video.example",))


@given(st.text(), st.none() | st.text())
def test_whatever_comes_the_answer_is_yes_or_no(origin: str, host: str | None) -> None:
    assert OriginPolicy(ALLOWED).allows(origin, host) in {True, False}
    assert OriginPolicy(ALLOWED).allows(f"http://{origin}", host) in {True, False}


async def _requests(
    allowed: tuple[str, ...], *requests: tuple[str, dict[str, str]]
) -> list[httpx.Response]:
    async def ok(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", ok)], middleware=[OriginPolicy(allowed).cors()])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return [await client.request(method, "/", headers=headers) for method, headers in requests]


@pytest.mark.parametrize(
    ("allowed", "origin", "answer"),
    [
        (("https://video.example:443",), "https://video.example", "https://video.example"),
        (("https://video.example",), "https://other.example", None),
        ((), "https://video.example", None),
        (("*",), "https://anywhere.example", "*"),
        (("null",), "null", "null"),
        (("https://video.example",), "null", None),
        (("https://*.video.example",), "https://a.b.video.example", "https://a.b.video.example"),
        (("https://*.video.example",), "https://video.example", None),
        (("https://*.video.example",), "https://a.video.example.evil.example", None),
        (("https://*.video.example:8443",), "https://a.video.example", None),
    ],
)
@pytest.mark.anyio
async def test_cors_follows_the_same_list(
    allowed: tuple[str, ...], origin: str, answer: str | None
) -> None:
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, widgetwire-client",
    }
    preflight, got = await _requests(
        allowed, ("OPTIONS", {"origin": origin} | asked), ("GET", {"origin": origin})
    )
    assert preflight.headers.get("access-control-allow-origin") == answer
    assert preflight.status_code == (200 if answer else 400)
    assert got.headers.get("access-control-allow-origin") == answer
    assert "widgetwire-client" in preflight.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in got.headers


@pytest.mark.parametrize("allowed", [(), ALLOWED, ("*",)])
@pytest.mark.parametrize(
    "origin",
    [
        None,
        "https://video.example",
        "https://a.wild.example",
        "http://widgets",
        "https://evil.example",
    ],
)
@pytest.mark.anyio
async def test_an_answer_has_the_fields_that_the_middleware_adds(
    allowed: tuple[str, ...], origin: str | None
) -> None:
    policy = OriginPolicy(allowed)
    fields = policy.answer_fields(
        Headers({"host": "widgets"} | ({} if origin is None else {"origin": origin}))
    )
    if fields is None:
        assert not policy.allows(origin, "widgets")
        return
    assert policy.allows(origin, "widgets")

    async def page(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/", page)], middleware=[policy.cors()])
    headers = {} if origin is None else {"origin": origin}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://widgets") as client:
        answer = await client.get("/", headers=headers)
    added = {
        name: value
        for name, value in answer.headers.items()
        if name == "vary" or name.startswith("access-control-")
    }
    # To a request without an origin the middleware says `Vary: Origin` too; no page reads it.
    assert dict(fields) == (added if origin is not None else {})
