"""Ordinary POSTs: answered as the ASGI application answers them, whichever way they went."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.routing import Route

from app.composition import Application
from app.transports.graphql.http import GraphQLHttp, HttpLimits
from app.transports.graphql.plain_posts import PlainPosts
from app.transports.origins import OriginPolicy
from app.wire.exchange import Exchange
from tests.transports.graphql.sample import Sample, viewer_of
from tests.transports.raw_http import answer_to, served

pytestmark = pytest.mark.anyio

ORIGINS = OriginPolicy(["https://video.example"])
HELLO = json.dumps({"query": "{ hello }"}).encode()
JSON = "Content-Type: application/json"
LISTED = "Origin: https://video.example"


class Both:
    """The endpoint with the short way and without it, over one sample."""

    def __init__(self, origins: OriginPolicy = ORIGINS) -> None:
        self.sample = Sample()
        executor, context = self.sample.executor, self.sample.context
        self.posts = _Noting(
            PlainPosts(
                "/graphql",
                executor,
                viewer_of,
                context,
                origins,
                max_body_bytes=2_000,
                max_anonymous_bytes=1_000,
            )
        )
        self.app = Application(middleware=[origins.cors()])
        endpoint = GraphQLHttp(
            executor,
            viewer_of,
            context,
            limits=HttpLimits(max_body_bytes=2_000, max_anonymous_bytes=1_000),
        )
        self.app.router.routes.append(Route("/graphql", endpoint))
        self.app.graphql = endpoint

    @asynccontextmanager
    async def ports(self) -> AsyncIterator[tuple[int, int]]:
        """Serve it both ways."""
        async with (
            served(app=self.app, responder=self.posts, keep_alive_seconds=0.2) as short,
            served(app=self.app, keep_alive_seconds=0.2) as long,
        ):
            yield short, long


class _Noting:
    """A responder that counts what it took."""

    def __init__(self, posts: PlainPosts) -> None:
        self.targets = posts.targets
        self.taken = 0
        self._posts = posts

    def respond(self, exchange: Exchange) -> bool:
        took = self._posts.respond(exchange)
        self.taken += took
        return took


def post(body: bytes, *lines: str) -> bytes:
    head = ["POST /graphql HTTP/1.1", "Host: widgets", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def parted(answer: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return status line, header lines in order of their names, body; without the made id."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.lower().split(b"\r\n")
    named = [line for line in lines if not line.startswith(b"x-request-id: ")]
    assert len(named) == len(lines) - 1
    return status, sorted(named), body


ORDINARY = [
    (HELLO, [JSON]),
    (HELLO, [JSON, "Accept: application/json"]),
    (HELLO, [JSON, "Accept: application/graphql-response+json"]),
    (HELLO, [JSON, "Accept: text/event-stream, application/json"]),
    (HELLO, ["content-type: application/json; charset=UTF-8", "Accept: */*"]),
    (HELLO, [JSON, LISTED]),
    (HELLO, [JSON, "Origin: http://widgets"]),
    (b'{"query": "{ whoami }"}', [JSON, "Authorization: Bearer anna"]),
    (b'{"query": "{ signedClient whoami }"}', [JSON, "Widgetwire-Client: c1"]),
    (HELLO + b" " * 1_500, [JSON, "Authorization: Bearer anna"]),
    (b'{"query": "{"}', [JSON, LISTED]),
    (b'{"query": "{"}', [JSON, "Accept: application/graphql-response+json"]),
    (b'{"query": "{ nothing }"}', [JSON]),
    (b'{"query": "query($n: Int!) { count(number: $n) }"}', [JSON]),
    (b'{"query": "{ hello }", "operationName": "other"}', [JSON]),
    (b'{"query": "query($n: Int!) { count(number: $n) }", "variables": {"n": 3}}', [JSON]),
    (b'{"query": "{ hello hello hello }"}', [JSON]),
]
OTHERS = [
    (HELLO, []),
    (HELLO, ["Content-Type: text/plain"]),
    (HELLO, [JSON, "Content-Encoding: gzip"]),
    (HELLO + b" " * 1_500, [JSON]),
    (HELLO, [JSON, "Accept: text/html"]),
    (HELLO, [JSON, "Accept: text/event-stream"]),
    (HELLO, [JSON, "Authorization: Bearer bad"]),
    (HELLO, [JSON, "Authorization: Bearer expired"]),
    (HELLO, [JSON, "Authorization: Basic abc"]),
    (HELLO, [JSON, "Widgetwire-Client: bad"]),
    (HELLO, [JSON, "Authorization: Bearer anna", "Widgetwire-Client: expired"]),
    (HELLO, [JSON, "Origin: https://evil.example"]),
    (HELLO, [JSON, "Origin: null"]),
    (b"", [JSON]),
    (b"[]", [JSON]),
    (b"{", [JSON]),
    (b"\xff", [JSON]),
    (b"[" * 1_000, [JSON]),
    (b" " * 2_001, [JSON]),
    (b'{"query": 1}', [JSON]),
    (b'{"query": "subscription { items }"}', [JSON]),
]


@pytest.mark.parametrize(
    ("body", "lines", "ordinary"),
    [(*one, True) for one in ORDINARY] + [(*one, False) for one in OTHERS],
)
async def test_both_ways_say_the_same(body: bytes, lines: list[str], ordinary: bool) -> None:
    both = Both()
    async with both.ports() as ports:
        request = post(body, *lines, "Connection: close")
        answers = await asyncio.gather(*(answer_to(port, request) for port in ports))
    first, second = (parted(answer) for answer in answers)
    assert first == second
    assert both.posts.taken == ordinary
    assert all(context.closed == 1 for context in both.sample.contexts)


async def test_a_star_lets_every_page_read() -> None:
    both = Both(OriginPolicy(["*"]))
    async with both.ports() as ports:
        request = post(HELLO, JSON, "Origin: https://anywhere.example")
        first, second = [parted(await answer_to(port, request)) for port in ports]
    assert first == second
    assert b"access-control-allow-origin: *" in first[1]
    assert both.posts.taken == 1


async def test_a_token_is_looked_at_each_time() -> None:
    """What is remembered of a head must not outlive its token."""
    sample = Sample()
    withdrawn = False

    def viewer(token: str | None, _client_token: str | None) -> Any:
        return viewer_of("expired" if withdrawn else token)

    posts = PlainPosts("/graphql", sample.executor, viewer, sample.context, ORIGINS)
    app = GraphQLHttp(sample.executor, viewer, sample.context)
    async with served(app=app, responder=posts) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = post(b'{"query": "{ whoami }"}', JSON, "Authorization: Bearer anna")
        for _ in range(2):
            writer.write(request)
            assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 200")
        withdrawn = True
        writer.write(request)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 401")
        writer.close()


async def test_a_defect_is_left_to_the_application(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_tokens: str | None) -> Any:
        raise RuntimeError("SELECT secret")

    sample = Sample()
    posts = PlainPosts("/graphql", sample.executor, broken, sample.context, ORIGINS)
    app = GraphQLHttp(sample.executor, broken, sample.context)
    async with served(app=app, responder=posts, keep_alive_seconds=0.2) as port:
        answer = await answer_to(port, post(HELLO, JSON))
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"internal server error (id " in answer
    assert b"SELECT" not in answer
