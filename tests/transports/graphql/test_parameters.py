"""The parameters of a request: of a body and of a query string, checked before they are used."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest

from app.errors import BadUserInput, PayloadTooLarge
from app.transports.graphql.parameters import Parameters, read_body

pytestmark = pytest.mark.anyio

QUERY = "{ __typename }"
HASH = "0" * 64
PERSISTED = {"persistedQuery": {"version": 1, "sha256Hash": HASH, "miss": True}}


def test_a_body_and_a_query_string_say_the_same() -> None:
    body = {"query": QUERY, "operationName": "a", "variables": {"n": 1}, "extensions": {}, "x": 1}
    expected = Parameters(QUERY, "a", {"n": 1})
    assert Parameters.of_body(json.dumps(body).encode()) == expected
    string = b"query=%7B+__typename+%7D&operationName=a&variables=%7B%22n%22%3A1%7D&x=1"
    assert Parameters.of_query_string(string) == expected


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_variables_there_are_none(nothing: object) -> None:
    expected = Parameters(QUERY, None, {})
    assert Parameters.of({"query": QUERY, "variables": nothing}) == expected
    assert Parameters.of({"query": QUERY, "operationName": None}) == expected
    assert Parameters.of_query_string(b"query=%7B+__typename+%7D&variables=") == expected


@pytest.mark.parametrize(
    "decoded",
    [
        {"documentId": f"sha256:{HASH}"},
        {"documentId": f"sha256:{HASH}", "query": None, "extensions": {"persistedQuery": None}},
        {"extensions": PERSISTED},
        {"extensions": PERSISTED, "query": ""},
        {"extensions": PERSISTED, "documentId": HASH},
        {"extensions": PERSISTED, "documentId": f"sha256:{HASH}"},
    ],
)
def test_a_document_is_named_by_its_id_in_either_form(decoded: dict[str, Any]) -> None:
    expected = Parameters(None, None, {}, f"sha256:{HASH}")
    assert Parameters.of(decoded) == expected
    assert expected.asked == (None, None, f"sha256:{HASH}")
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in decoded.items()
        if value is not None
    }
    assert Parameters.of_query_string(urlencode(texts).encode()) == expected


def test_a_document_and_its_id_may_come_together() -> None:
    assert Parameters.of({"query": QUERY, "documentId": "mine"}).asked == (QUERY, None, "mine")
    custom = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "mine"}}}
    assert Parameters.of({"query": QUERY, **custom}).asked == (QUERY, None, "mine")


@pytest.mark.parametrize(
    ("decoded", "told"),
    [
        ([{"query": QUERY}], "batching is not offered"),
        ("text", "allowed is a JSON object"),
        ({}, "query is missing"),
        ({"query": 1}, "query is 1; allowed is a string"),
        ({"query": QUERY, "operationName": 1}, "operationName is 1"),
        ({"query": QUERY, "variables": []}, "variables is .*; allowed is an object or null"),
        ({"query": QUERY, "extensions": "x"}, "extensions is .*; allowed is an object or null"),
        ({"query": None}, "query is null; allowed is a string .*, or a documentId in its place"),
        ({"query": 1, "documentId": "a"}, "query is 1; allowed is a string"),
        ({"documentId": 1}, "documentId is 1; allowed is a string"),
        ({"documentId": ""}, "documentId has 0 characters; allowed are 1 to 256"),
        ({"query": QUERY, "documentId": "a" * 257}, "documentId has 257 characters"),
        ({"extensions": {"persistedQuery": HASH}}, "extensions.persistedQuery is '0000"),
        ({"extensions": {"persistedQuery": {}}}, "persistedQuery.version is null; allowed is 1"),
        (
            {"extensions": {"persistedQuery": {"version": True, "sha256Hash": HASH}}},
            "persistedQuery.version is true; allowed is 1",
        ),
        (
            {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": HASH}}},
            "persistedQuery.version is 2; allowed is 1",
        ),
        (
            {"extensions": {"persistedQuery": {"version": 1}}},
            "persistedQuery.sha256Hash is null; allowed is a string",
        ),
        (
            {"documentId": "b", "extensions": PERSISTED},
            "documentId and extensions.persistedQuery name two documents",
        ),
    ],
)
def test_a_parameter_of_another_type_is_refused_and_named(decoded: object, told: str) -> None:
    with pytest.raises(BadUserInput, match=told):
        Parameters.of(decoded)


@pytest.mark.parametrize(
    ("string", "told"),
    [
        (b"query=a&query=b", "'query' more than once"),
        (b"&".join(b"x%d=" % number for number in range(21)), "more than 20 parameters"),
        (b"query=%ff", "not UTF-8"),
        ("query=é".encode(), "not UTF-8"),
        (b"query=a&variables=nonsense", "variables: "),
        (b"query=a&extensions=[", "extensions: "),
        (b"", "query is missing"),
    ],
)
def test_a_query_string_that_cannot_be_read_is_refused(string: bytes, told: str) -> None:
    with pytest.raises(BadUserInput, match=told):
        Parameters.of_query_string(string)


async def arriving(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_body_of_any_chunks_is_whole() -> None:
    assert await read_body(arriving(b"ab", b"", b"c"), 3) == b"abc"
    assert await read_body(arriving(), 0) == b""


async def test_a_body_that_grows_too_long_is_not_read_further() -> None:
    chunks = arriving(b"ab", b"cd", b"never read")
    with pytest.raises(PayloadTooLarge, match="longer than 3 bytes"):
        await read_body(chunks, 3)
    assert await anext(chunks) == b"never read"
