"""An answer to GET is kept by its client and asked about; real requests to a real process."""

import http.client
import json
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from app.transports.graphql.http import GraphQLHttp
from app.transports.graphql.negotiation import MediaType
from app.transports.graphql.revalidation import entity_tag, is_current
from tests.served import Served
from tests.transports.graphql.sample import Sample, viewer_of

JSON = MediaType.JSON


class Answer(NamedTuple):
    """A response, its header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def asked(service: Served, method: str, path: str, body: object = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, sent)
    response = connection.getresponse()
    found = Answer(
        response.status,
        {name.lower(): value for name, value in response.getheaders()},
        response.read(),
    )
    connection.close()
    return found


def get(service: Served, query: str, **headers: str) -> Answer:
    return asked(service, "GET", "/graphql?" + urlencode({"query": query}), **headers)


def publish(service: Served, widget: str) -> None:
    document = f'mutation {{ publish(projectId: "p", widgetId: "{widget}", data: 1) {{ id }} }}'
    answer = asked(
        service, "POST", "/graphql", {"query": document}, content_type="application/json"
    )
    assert b'"id"' in answer.body


def total(widget: str) -> str:
    return f'{{ messages(projectId: "p", widgetId: "{widget}") {{ totalCount }} }}'


def test_an_unchanged_channel_is_answered_with_304_until_something_is_published(
    shared_service: Served,
) -> None:
    first = get(shared_service, total("w1"))
    assert first.status == 200
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["vary"] == "Accept, Authorization, Widgetwire-Client"
    tag = first.headers["etag"]
    assert tag == entity_tag(first.body, JSON).decode()

    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = get(shared_service, total("w1"), if_none_match=known)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "no-cache"
        assert again.headers["vary"] == "Accept, Authorization, Widgetwire-Client"
        assert "content-type" not in again.headers

    publish(shared_service, "w1")
    changed = get(shared_service, total("w1"), if_none_match=tag)
    assert changed.status == 200
    assert b'"totalCount":1' in changed.body
    assert changed.headers["etag"] != tag


def test_each_media_type_has_a_tag_of_its_own(shared_service: Served) -> None:
    tags = {
        get(shared_service, total("w2"), accept=media_type).headers["etag"]
        for media_type in ("application/json", "application/graphql-response+json")
    }
    assert len(tags) == 2


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("{ nonsense }", 200),
        ('{ messages(projectId: "/", widgetId: "w") { totalCount } }', 200),
        ('mutation { publish(projectId: "p", widgetId: "w", data: 1) { id } }', 405),
    ],
)
def test_what_fails_is_never_kept(shared_service: Served, query: str, status: int) -> None:
    answer = get(shared_service, query, if_none_match="*", accept="application/json")
    assert answer.status == status
    assert b'"errors"' in answer.body
    assert "etag" not in answer.headers
    assert answer.headers.get("cache-control", "no-store") == "no-store"


def test_post_is_answered_in_full(shared_service: Served) -> None:
    query = {"query": total("w3")}
    answer = asked(
        shared_service,
        "POST",
        "/graphql",
        query,
        content_type="application/json",
        if_none_match="*",
    )
    assert answer.status == 200
    assert "etag" not in answer.headers


@pytest.mark.anyio
async def test_what_a_token_was_used_for_is_kept_by_its_client_alone() -> None:
    sample = Sample()
    app = GraphQLHttp(sample.executor, viewer_of, sample.context)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://widgets") as client:
        found = [
            await client.get("/graphql", params={"query": "{ __typename }"}, headers=headers)
            for headers in ({}, {"authorization": "Bearer good"}, {"widgetwire-client": "c1"})
        ]
    private = "private, no-cache"
    assert [one.headers["cache-control"] for one in found] == ["no-cache", private, private]
    assert len({one.headers["etag"] for one in found}) == 1


@pytest.mark.parametrize("known", ["", "x", '"x"', "W/", '"', '""', "* x", '"a", "b"'])
def test_another_tag_is_not_current(known: str) -> None:
    assert not is_current([known], entity_tag(b"{}", JSON))


def test_several_fields_are_one_list() -> None:
    tag = entity_tag(b"{}", JSON)
    assert is_current(['"x"', f'W/"y", {tag.decode()}'], tag)
    assert not is_current([], tag)
