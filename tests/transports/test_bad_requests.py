"""What is no GraphQL request, and the headers and handshakes that are wrong, on each transport."""

import asyncio
from typing import Any, Final

import pytest

from tests.transports.refusing import BAD, INTERNALS, Service, named, wrong_words
from tests.transports.ways import (
    WAYS,
    Way,
    get,
    legacy_graphql_socket,
    transport_socket,
)

_SOCKETS: Final = (transport_socket, legacy_graphql_socket)
# Requests that are none.

_REQUEST: Final = b'{"query":"{ __typename }","variables":%b}'
NO_JSON: Final = {
    "nothing": b"",
    "half an object": b'{"query":"{ __typename }"',
    "two objects": b'{"query":"{ __typename }"}{}',
    "NaN": _REQUEST % b'{"x":NaN}',
    "Infinity": _REQUEST % b'{"x":-Infinity}',
    "a lone surrogate": _REQUEST % rb'{"x":"\ud800"}',
    "a lone surrogate in a key": _REQUEST % rb'{"\udfff":1}',
    "a raw control character": _REQUEST % b'{"x":"\n"}',
    "5,000 digits": _REQUEST % (b'{"x":%b}' % (b"9" * 5_000)),
    "a leading zero": _REQUEST % b'{"x":007}',
    "single quotes": b"{'query':'{ __typename }'}",
    "no UTF-8": _REQUEST % b'{"x":"\xff"}',
    "an encoded surrogate": _REQUEST % b'{"x":"\xed\xa0\x80"}',
    "a mark at the beginning": b"\xef\xbb\xbf" + _REQUEST % b"null",
}
"""A socket that says this is closed: what cannot be read cannot be attributed."""
NO_UTF8: Final = {"no UTF-8", "an encoded surrogate"}
BEYOND: Final = {
    "101 levels": _REQUEST % (b'{"x":%b}' % (b"[" * 101 + b"]" * 101)),
    "100,001 values": _REQUEST % (b'{"x":[%b1]}' % (b"1," * 100_000)),
}
"""JSON that nobody reads any further: the operation is refused, and the socket lives."""
_ID_: Final = b'{"query":"{ __typename }","documentId":%b}'
_PERSISTED: Final = b'{"extensions":{"persistedQuery":%b}}'
NO_REQUEST: Final[dict[str, tuple[bytes, str]]] = {
    "null": (b"null", "is null"),
    "a list": (b"[]", "batching"),
    "a batch": (b'[{"query":"{ __typename }"}]', "batching"),
    "a string": (b'"{ __typename }"', "allowed is a JSON object"),
    "a number": (b"7", "allowed is a JSON object"),
    "no document": (b"{}", "query is missing"),
    "a document that is null": (b'{"query":null}', "query is null"),
    "a document that is a list": (b'{"query":["{ __typename }"]}', "query is a list"),
    "a document that is an object": (b'{"query":{}}', "query is an object"),
    "variables as a list": (_REQUEST % b"[]", "variables is a list"),
    "variables as a string": (_REQUEST % b'"{}"', "variables is '{}'"),
    "variables as false": (_REQUEST % b"false", "variables is false"),
    "operationName as a number": (
        b'{"query":"{ __typename }","operationName":1}',
        "operationName is 1",
    ),
    "extensions as a list": (b'{"query":"{ __typename }","extensions":[]}', "extensions is a list"),
    "documentId as a number": (_ID_ % b"1", "documentId is 1"),
    "documentId as a list": (_ID_ % b"[]", "documentId is a list"),
    "an empty documentId": (_ID_ % b'""', "documentId has 0 characters"),
    "a long documentId": (_ID_ % (b'"%b"' % (b"a" * 257)), "documentId has 257 characters"),
    "persistedQuery as a string": (_PERSISTED % b'"abc"', "persistedQuery is 'abc'"),
    "persistedQuery without a version": (_PERSISTED % b'{"sha256Hash":"a"}', "version is null"),
    "persistedQuery of version 2": (
        _PERSISTED % b'{"version":2,"sha256Hash":"a"}',
        "version is 2",
    ),
    "persistedQuery without a hash": (_PERSISTED % b'{"version":1}', "sha256Hash is null"),
    "two ids": (
        b'{"documentId":"a","extensions":{"persistedQuery":{"version":1,"sha256Hash":"b"}}}',
        "two documents",
    ),
}
"""A `graphql-transport-ws` socket that says this is closed, as its protocol has it; the legacy one
knows no such close: the operation is refused."""


def _ways_but_get() -> list[Way]:
    return [way for way in WAYS if way is not get]


@named(_ways_but_get())
def test_what_is_no_request(service: Service, way: Way) -> None:
    async def wrong() -> list[str]:
        found = []
        table = [(name, body, "JSON") for name, body in (NO_JSON | BEYOND).items()]
        table += [(name, body, says) for name, (body, says) in NO_REQUEST.items()]
        for name, body, says in table:
            answer = await way(service.http, body)
            if way not in _SOCKETS:
                expected: tuple[int, list[str]] = (400, [BAD])
            elif name in NO_JSON:
                expected = (1007 if name in NO_UTF8 else 4400, [])
            elif name in NO_REQUEST and way is transport_socket:
                expected = (4400, [])
            else:
                expected = (101, [BAD])
            message = answer.errors[0]["message"] if answer.errors else answer.reason
            if (answer.status, answer.codes) != expected:
                found.append(f"{name}: {answer.status} {answer.codes} {message}")
            elif answer.status != 1007 and not (way in _SOCKETS and name == "nothing"):
                words = (says,) if answer.errors else ()
                problem = wrong_words(message, words)
                if problem:
                    found.append(f"{name}: {problem}")
        return found

    assert service.run(wrong()) == []


ADDRESSES: Final = {
    "": "query is missing",
    "query=": "",
    "query={__typename}&query={__typename}": "more than once",
    "query=%ff": "UTF-8",
    "query={__typename}&variables=[]": "variables is a list",
    "query={__typename}&variables={": "variables: ",
    "query={__typename}&variables={%22x%22:NaN}": "variables: ",
    "query={__typename}&variables={%22x%22:%22%5Cud800%22}": "surrogate",
    "query={__typename}&variables=" + "[" * 101 + "]" * 101: "levels",
    "query={__typename}&extensions=1": "extensions is 1",
    "documentId=": "documentId has 0 characters",
    "documentId=a&documentId=a": "more than once",
    "extensions={%22persistedQuery%22:1}": "persistedQuery is 1",
    "&".join(f"x{number}=" for number in range(21)): "20 parameters",
}


def test_an_address_that_is_no_request(service: Service) -> None:
    async def wrong() -> list[str]:
        found = []
        for query, says in ADDRESSES.items():
            accept = {"accept": "application/json"}
            answer = await service.http.get(f"/graphql?{query}", headers=accept)
            (error,) = answer.json()["errors"]
            parsed = query != "query="
            told = answer.status_code, error["extensions"]["code"]
            if told != ((400, BAD) if parsed else (200, "GRAPHQL_PARSE_FAILED")):
                found.append(f"{query[:60]}: {told}")
            problem = wrong_words(error["message"], (says,))
            if problem:
                found.append(f"{query[:60]}: {problem}")
        return found

    assert service.run(wrong()) == []


_QUERY: Final = b'{"query":"{ __typename }"}'
_LISTEN: Final = (
    b'{"query":"subscription { messages(projectId: \\"p\\", widgetId: \\"w\\") { id } }"}'
)
HEADERS: Final[dict[str, tuple[str, dict[str, str], bytes, int, str]]] = {
    "another method": ("PUT", {}, _QUERY, 405, BAD),
    "no type of the body": ("POST", {"content-type": ""}, _QUERY, 415, BAD),
    "a form": ("POST", {"content-type": "application/x-www-form-urlencoded"}, b"query=", 415, BAD),
    "text": ("POST", {"content-type": "text/plain"}, _QUERY, 415, BAD),
    "another charset": (
        "POST",
        {"content-type": "application/json; charset=latin-1"},
        _QUERY,
        415,
        BAD,
    ),
    "a compressed body": ("POST", {"content-encoding": "gzip"}, _QUERY, 415, BAD),
    "an answer we have not": ("POST", {"accept": "text/html"}, _QUERY, 406, BAD),
    "a query as multipart": ("POST", {"accept": "multipart/mixed"}, _QUERY, 406, BAD),
    "a subscription as JSON": ("POST", {"accept": "application/json"}, _LISTEN, 406, BAD),
    "a token that is none": (
        "POST",
        {"authorization": "Bearer no"},
        _QUERY,
        401,
        "UNAUTHENTICATED",
    ),
    "another scheme": ("POST", {"authorization": "Basic YTpi"}, _QUERY, 401, "UNAUTHENTICATED"),
    "a client token that is none": (
        "POST",
        {"widgetwire-client": "no"},
        _QUERY,
        401,
        "UNAUTHENTICATED",
    ),
    "a body over 1 MiB": ("POST", {}, b" " * (1 << 20) + _QUERY, 413, "PAYLOAD_TOO_LARGE"),
}


def test_headers_that_are_wrong(service: Service) -> None:
    async def wrong() -> list[str]:
        found = []
        for name, (method, headers, body, status, code) in HEADERS.items():
            given = {"content-type": "application/json", **headers}
            # In a piece, and in chunks: the second way knows no length before.
            for content in (body, _chunks(body)):
                answer = await service.http.request(
                    method, "/graphql", headers=given, content=content
                )
                (error,) = answer.json()["errors"]
                told = answer.status_code, error["extensions"]["code"]
                if told != (status, code) or INTERNALS.search(error["message"]):
                    found.append(f"{name}: {told} {error['message']}")
        return found

    assert service.run(wrong()) == []


async def _chunks(body: bytes) -> Any:
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


# Handshakes.


@pytest.mark.parametrize(
    ("target", "headers", "expected"),
    [
        ("/graphql", {}, 4406),
        ("/graphql", {"sec-websocket-protocol": "soap"}, 4406),
        ("/graphql", {"sec-websocket-protocol": "GRAPHQL-WS"}, 4406),
        ("/graphql", {"origin": "https://evil.example"}, 403),
        ("/c8/p/w", {"origin": "https://evil.example"}, 403),
        ("/c8/p/w", {"origin": "null"}, 403),
        ("/c8/a%20b/w", {}, 4400),
        ("/c8/p/" + "w" * 65, {}, 4400),
        ("/c8/p/%00", {}, 4400),
        ("/c8/p", {}, 403),
        ("/c8/p/w/more", {}, 403),
        ("/nowhere", {}, 403),
        ("/c8/p/w", {"sec-websocket-version": "12"}, 426),
        ("/c8/p/w", {"sec-websocket-key": "short"}, 400),
    ],
)
def test_a_handshake_that_is_wrong(
    service: Service, target: str, headers: dict[str, str], expected: int
) -> None:
    async def told() -> int:
        host, _, port = service.host.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        given = {
            "host": service.host,
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        } | headers
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        if status == 101:
            rest = await reader.readuntil(b"\x88")
            assert INTERNALS.search(rest.decode(errors="replace")) is None
            status = int.from_bytes((await reader.readexactly(3))[1:], "big")
        writer.close()
        return status

    assert service.run(told()) == expected
