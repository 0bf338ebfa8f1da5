"""GraphQL over HTTP, request by request."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.transports.graphql.http import GraphQLHttp, HttpLimits
from tests.transports.graphql.sample import Sample, viewer_of
from tests.transports.raw_http import answer_to, head, served
from tests.transports.test_refusals import forget_refusals

pytestmark = pytest.mark.anyio

POST = {"content-type": "application/json"}
MODERN = {**POST, "accept": "application/graphql-response+json"}


async def _page(_request: Request) -> Response:
    return HTMLResponse("<h1>welcome</h1>")


class Service:
    """The endpoint over the sample, and a client for it."""

    def __init__(self) -> None:
        self.sample = Sample()
        self.app = GraphQLHttp(
            self.sample.executor,
            viewer_of,
            self.sample.context,
            landing=_page,
            limits=HttpLimits(max_body_bytes=20_000, max_anonymous_bytes=10_000),
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://widgets"
        )

    async def post(self, body: object, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.client.post("/graphql", json=body, headers=headers)


@pytest.fixture
def service() -> Service:
    return Service()


def code_of(response: httpx.Response) -> Any:
    return response.json()["errors"][0]["extensions"]["code"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_defect_is_answered_under_an_id_of_the_log(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was a plain-text 500 without a code, and a trace that nobody could relate to it."""

    def broken(*_tokens: str | None) -> Any:
        raise RuntimeError("SELECT secret")

    sample = Sample()
    app = GraphQLHttp(sample.executor, broken, sample.context)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://widgets")
    body = {"query": "{ hello }"} if method == "POST" else None
    response = await client.request(method, "/graphql?query={hello}", json=body)
    assert (response.status_code, code_of(response)) == (500, "INTERNAL_SERVER_ERROR")
    message = response.json()["errors"][0]["message"]
    assert message.removeprefix("internal server error (id ")[:12] in caplog.text
    assert "SELECT" not in message


async def test_a_post_is_answered(service: Service) -> None:
    response = await service.post(
        {"query": "query($n: Int!) { count(number: $n) }", "variables": {"n": 3}}, MODERN
    )
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/graphql-response+json")
    assert response.json() == {"data": {"count": 3}}
    assert [context.closed for context in service.sample.contexts] == [1]


async def test_a_get_is_answered(service: Service) -> None:
    params = {
        "query": "query a($n: Int!) { count(number: $n) } query b { hello }",
        "operationName": "a",
        "variables": '{"n": 3}',
        "extensions": "",
    }
    response = await service.client.get("/graphql", params=params)
    assert response.json() == {"data": {"count": 3}}


async def test_the_viewer_is_the_tokens(service: Service) -> None:
    body = {"query": "{ whoami }"}
    answer = await service.post(body, {"authorization": "Bearer anna"})
    assert answer.json() == {"data": {"whoami": "anna"}}
    assert (await service.post(body)).json() == {"data": {"whoami": None}}


@pytest.mark.parametrize("header", ["Bearer bad", "Bearer expired", "Basic abc", "Bearer"])
async def test_a_bad_token_is_never_anonymous(service: Service, header: str) -> None:
    response = await service.post({"query": "{ whoami }"}, {"authorization": header})
    assert (response.status_code, code_of(response)) == (401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query($n: Int!) { count(number: $n) }"}, "BAD_USER_INPUT"),
        ({"query": "{ hello }", "operationName": "other"}, "BAD_USER_INPUT"),
    ],
)
async def test_the_status_of_a_refused_request_depends_on_the_media_type(
    service: Service, body: dict[str, Any], code: str
) -> None:
    for headers, status in ((MODERN, 400), ({"accept": "application/json"}, 200)):
        response = await service.post(body, headers)
        assert (response.status_code, code_of(response)) == (status, code)
        assert "data" not in response.json()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"nonsense", "not valid JSON"),
        (b'{"query": "\xff"}', "not valid JSON"),
        (b'{"query": "{ hello }", "variables": {"a": NaN}}', "not valid JSON"),
        (b"[" * 9_000, "nested too deeply: 9000 levels, at most 100"),
        (b'{"query":"{hello}","variables":{"n":' + b"9" * 5_000 + b"}}", "not valid JSON"),
        (b'[{"query": "{ hello }"}]', "batching is not offered"),
        (b"null", "allowed is a JSON object"),
        (b"{}", "query is missing"),
        (b'{"query": 5}', "query is 5; allowed is a string"),
        (b'{"query": "{ hello }", "variables": []}', "variables is a list"),
        (b'{"query": "{ hello }", "operationName": 1}', "operationName is 1"),
        (b'{"query": "{ hello }", "extensions": "a"}', "extensions is 'a'"),
    ],
)
async def test_a_body_that_is_no_request_is_refused(
    service: Service, content: bytes, message: str
) -> None:
    response = await service.client.post("/graphql", content=content, headers=MODERN)
    assert (response.status_code, code_of(response)) == (400, "BAD_USER_INPUT")
    assert message in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query_string", "message"),
    [
        ("query=%ff", "not UTF-8"),
        ("query={hello}&query={hello}", "more than once"),
        ("query={hello}&variables=nonsense", "variables: not valid JSON"),
        ("&".join(f"a{i}=1" for i in range(30)), "more than 20 parameters"),
        ("", "query is missing"),
    ],
)
async def test_a_query_string_that_is_no_request_is_refused(
    service: Service, query_string: str, message: str
) -> None:
    response = await service.client.get(f"/graphql?{query_string}")
    assert (response.status_code, code_of(response)) == (400, "BAD_USER_INPUT")
    assert message in response.json()["errors"][0]["message"]


async def test_a_long_body_is_not_read_to_its_end(service: Service) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 10_000_000:
            read += 1_000
            yield b" " * 1_000

    response = await service.client.post("/graphql", content=endless(), headers=POST)
    assert (response.status_code, code_of(response)) == (413, "PAYLOAD_TOO_LARGE")
    assert read < 100_000


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
        "application/graphql",
    ],
)
async def test_a_form_of_another_page_cannot_mutate(
    service: Service, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    content = json.dumps({"query": "mutation { publish(data: 1) }"}).encode()
    response = await service.client.post("/graphql", content=content, headers=headers)
    assert response.status_code == 415
    response = await service.client.get(
        "/graphql", params={"query": "mutation { publish(data: 1) }"}
    )
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert not service.sample.contexts


async def test_other_methods_are_refused(service: Service) -> None:
    response = await service.client.put("/graphql", json={"query": "{ hello }"})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


async def test_what_cannot_be_accepted_is_refused(service: Service) -> None:
    response = await service.post({"query": "{ hello }"}, {"accept": "image/png"})
    assert response.status_code == 406
    response = await service.post({"query": "subscription { items }"})
    assert response.status_code == 406
    assert "WebSocket" in response.json()["errors"][0]["message"]
    response = await service.post({"query": "{ hello }"}, {"accept": "multipart/mixed"})
    assert response.status_code == 406


async def test_a_browser_gets_the_page_and_a_programme_the_answer(service: Service) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    page = await service.client.get("/graphql", headers=browser)
    assert "welcome" in page.text
    answer = await service.client.get("/graphql?query={hello}", headers=browser)
    assert answer.json() == {"data": {"hello": "hello world"}}


async def test_a_query_of_an_event_stream_client_is_answered_as_one(service: Service) -> None:
    response = await service.post({"query": "{ hello }"}, {"accept": "text/event-stream"})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text == (
        'event: next\ndata: {"data":{"hello":"hello world"}}\n\nevent: complete\ndata:\n\n'
    )
    response = await service.post({"query": "{"}, {"accept": "text/event-stream"})
    assert response.status_code == 200
    assert "GRAPHQL_PARSE_FAILED" in response.text


@settings(deadline=None, max_examples=75)
@given(
    content=st.binary(max_size=200)
    | st.text(max_size=50).map(lambda text: json.dumps({"query": text}).encode())
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: st.dictionaries(
            st.sampled_from(["query", "variables", "operationName", "extensions"]), inner
        ),
    ).map(lambda value: json.dumps(value).encode()),
    accept=st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)
async def test_any_body_gives_an_answer_in_json(content: bytes, accept: str | None) -> None:
    headers = POST if accept is None else {**POST, "accept": accept}
    response = await Service().client.post("/graphql", content=content, headers=headers)
    assert 200 <= response.status_code < 300 or 400 <= response.status_code < 500
    assert isinstance(response.json(), dict)


async def test_a_body_declared_too_long_is_refused_before_it_is_asked_for(
    service: Service,
) -> None:
    """Once the client was told to continue, sent its megabytes, and was refused then."""
    request = head(
        b"Expect: 100-continue",
        b"Content-Type: application/json",
        b"Content-Length: 10001",
        target=b"/graphql",
    )
    async with served(app=service.app) as port:
        answer = await answer_to(port, request)
        accepted = await answer_to(
            port, request.replace(b"10001", b"10000"), b"x" * 10_000 + b"\0", pause_seconds=0.1
        )
        token = request.replace(b"Host: a", b"Host: a\r\nAuthorization: Bearer bad")
        unread = await answer_to(port, token)
        token = token.replace(b"bad", b"anna").replace(b"10001", b"20001")
        larger = await answer_to(port, token)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"the body has 10001 bytes; at most 10000 are allowed" in answer
    assert accepted.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ")
    assert unread.startswith(b"HTTP/1.1 401 ")
    assert b"the body has 20001 bytes; at most 20000 are allowed" in larger


async def test_without_a_token_a_body_may_be_shorter(service: Service) -> None:
    body = json.dumps({"query": "{ hello }", "variables": {"a": "x" * 15_000}})
    for token, status in ((None, 413), ("anna", 200)):
        headers = POST if token is None else {**POST, "authorization": f"Bearer {token}"}
        assert (
            await service.client.post("/graphql", content=body, headers=headers)
        ).status_code == status


async def test_a_refused_token_leaves_a_line_in_the_log(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_refusals(monkeypatch)
    caplog.set_level("INFO", "app")
    for token in ("Bearer bad", "Bearer bad", "Bearer expired", "Basic c2VjcmV0"):
        response = await service.post({"query": "{ hello }"}, {"authorization": token})
        assert response.status_code == 401
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "authentication refused: the token is not valid"),
        ("INFO", "authentication refused: the token has expired"),
        (
            "WARNING",
            "authentication refused: the Authorization header is not of the form 'Bearer TOKEN'",
        ),
    ]
