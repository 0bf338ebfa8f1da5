"""Known documents on every transport, as one client after another would use them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from app.embedded.postgres import EmbeddedPostgres
from tests.conftest import cloned
from tests.hosted import hosted
from tests.transports.ways import STREAMS, WAYS, Answer, Stream, Way, get, post, strict_post

_CHANNEL: Final = 'projectId: "p", widgetId: "w"'
COUNT: Final = f"query Count {{ messages({_CHANNEL}) {{ totalCount }} }}"
LISTEN: Final = f"subscription Listen {{ messages({_CHANNEL}) {{ id }} }}"
PUBLISH: Final = f"mutation Publish($d: JSON!) {{ publish({_CHANNEL}, data: $d) {{ data }} }}"
MD5: Final = "0123456789abcdef0123456789abcdef"
NOT_FOUND: Final = {
    "message": "PersistedQueryNotFound",
    "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
}
_numbers = count(1)


def hex_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def by_id(document_id: str) -> dict[str, Any]:
    return {"documentId": document_id}


def by_hash(digest: str) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}}


@dataclass
class Service:
    """A running service, asked from outside its loop."""

    runner: asyncio.Runner
    http: httpx.AsyncClient

    def ask(self, way: Way, **request: Any) -> Answer:
        async def ask() -> Answer:
            return await way(self.http, json.dumps(request).encode())

        return self.runner.run(ask())

    def begin(self, stream: Stream, **request: Any) -> Answer:
        """Ask for a subscription that is to begin."""

        async def begin() -> Answer:
            return await stream(self.http, json.dumps(request).encode(), begins=True)

        return self.runner.run(begin())

    def run(self, asked: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            return await asked(self.http)

        return self.runner.run(run())


def _serving(url: str, **settings: Any) -> Iterator[Service]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        host = runner.run(stack.enter_async_context(hosted(url, **settings)))
        http = httpx.AsyncClient(base_url=f"http://{host}", timeout=20)
        yield Service(runner, http)
        runner.run(http.aclose())
        runner.run(stack.aclose())


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres, template_database: str) -> Iterator[str]:
    yield from cloned(postgres, template_database)


@pytest.fixture(scope="module")
def open_service(database: str) -> Iterator[Service]:
    """Takes any document."""
    yield from _serving(database)


@pytest.fixture(scope="module")
def closed_service(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Takes those of its file."""
    file: Path = tmp_path_factory.mktemp("known") / "documents.json"
    file.write_text(json.dumps({MD5: COUNT, hex_of(LISTEN): LISTEN, "publish": PUBLISH}))
    yield from _serving(database, documents="known", documents_file=file)


def named(ways: Sequence[Way]) -> Any:
    return pytest.mark.parametrize("way", ways, ids=lambda way: way.__name__)


def refused(answer: Answer, code: str, way: Way) -> str:
    """Return the message of the one error, of a request that was refused whole."""
    (error,) = answer.errors
    assert answer.codes == [code]
    if way in (post, get):
        assert answer.status == 200
    if way is strict_post:
        assert answer.status == 400
    assert answer.data is None
    return str(error["message"])


@named(WAYS)
@pytest.mark.parametrize("form", [by_id, by_hash])
def test_a_client_registers_what_is_not_found_and_sends_the_hash_alone_then(
    open_service: Service, way: Way, form: Callable[[str], dict[str, Any]]
) -> None:
    query = f"query Q{next(_numbers)} {{ messages({_CHANNEL}) {{ totalCount }} }}"
    named_by = form(("sha256:" if form is by_id else "") + hex_of(query))
    missing = open_service.ask(way, **named_by)
    assert missing.errors == [NOT_FOUND]
    refused(missing, "PERSISTED_QUERY_NOT_FOUND", way)
    for request in ({"query": query, **named_by}, named_by, {"query": "", **named_by}):
        answer = open_service.ask(way, **request)
        assert (answer.data["messages"].keys(), answer.errors) == ({"totalCount"}, [])
    wrong = open_service.ask(way, query=query + " ", **named_by)
    assert hex_of(query + " ") in refused(wrong, "BAD_USER_INPUT", way)


@named(STREAMS)
def test_a_subscription_is_named_too(open_service: Service, way: Stream) -> None:
    query = LISTEN.replace("Listen", f"Listen{next(_numbers)}")
    named_by = by_hash(hex_of(query))
    assert open_service.ask(way, **named_by).errors == [NOT_FOUND]
    for request in ({"query": query, **named_by}, named_by):
        assert open_service.begin(way, **request).errors == []


@named(WAYS)
def test_only_the_documents_of_the_file_are_executed(closed_service: Service, way: Way) -> None:
    for named_by in (by_id(MD5), by_hash(MD5), by_hash(hex_of(COUNT)), {"query": COUNT}):
        answer = closed_service.ask(way, **named_by)
        assert (answer.data["messages"].keys(), answer.errors) == ({"totalCount"}, [])
    other = "{ __typename }"
    for request in ({"query": other}, {"query": other, **by_hash(hex_of(other))}):
        assert "only documents listed" in refused(
            closed_service.ask(way, **request), "FORBIDDEN", way
        )
    # A client that is told to send the text does so, and is refused then.
    assert closed_service.ask(way, **by_hash(hex_of(other))).errors == [NOT_FOUND]


@named(STREAMS)
def test_a_listed_subscription(closed_service: Service, way: Stream) -> None:
    for named_by in (by_id(hex_of(LISTEN)), by_hash(hex_of(LISTEN)), {"query": LISTEN}):
        assert closed_service.begin(way, **named_by).errors == []


@named(tuple(way for way in WAYS if way is not get))
def test_a_listed_mutation(closed_service: Service, way: Way) -> None:
    answer = closed_service.ask(way, documentId="publish", variables={"d": [1]})
    assert answer.data == {"publish": {"data": [1]}}
    wrong = closed_service.ask(way, documentId="publish", operationName="Other")
    assert "no operation named 'Other'" in refused(wrong, "BAD_USER_INPUT", way)


def test_a_mutation_by_get_is_refused_however_it_is_named(closed_service: Service) -> None:
    answer = closed_service.ask(get, documentId="publish", variables={"d": 1})
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_a_named_query_by_get_is_revalidated_like_any_other(closed_service: Service) -> None:
    async def twice(http: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        first = await http.get(f"/graphql?documentId={MD5}")
        known = {"if-none-match": first.headers["etag"]}
        return first, await http.get(f"/graphql?documentId={MD5}", headers=known)

    first, second = closed_service.run(twice)
    assert first.headers["cache-control"] == "no-cache"
    assert (second.status_code, second.headers["etag"]) == (304, first.headers["etag"])


def test_what_is_not_found_is_not_kept_by_caches(open_service: Service) -> None:
    answer = open_service.ask(get, **by_hash("0" * 64))
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("parameter", ["documentId=" + MD5, "query={__typename}"])
def test_a_browser_that_names_a_document_gets_its_answer(
    open_service: Service, parameter: str
) -> None:
    async def opened(http: httpx.AsyncClient) -> httpx.Response:
        return await http.get(f"/graphql?{parameter}", headers={"accept": "text/html,*/*"})

    assert open_service.run(opened).headers["content-type"].startswith("application/json")


def test_with_known_documents_there_is_no_page_that_sends_its_own(
    closed_service: Service,
) -> None:
    async def pages(http: httpx.AsyncClient) -> list[httpx.Response]:
        browser = {"accept": "text/html,*/*"}
        return [await http.get(path, headers=browser) for path in ("/", "/docs/")] + [
            await http.get("/graphql", headers=browser)
        ]

    demonstration, documents, endpoint = closed_service.run(pages)
    assert (demonstration.status_code, documents.status_code) == (404, 404)
    assert (endpoint.status_code, "query is missing" in endpoint.text) == (400, True)
