"""What is no frame of a protocol closes its socket with a code; a bad call is answered."""

import json
from typing import Any, Final

import pytest
from websockets.asyncio.client import connect

from tests.transports.endpoints import ENDPOINTS, LEGACY_GRAPHQL, WIDGET, Endpoint, opened
from tests.transports.refusing import BAD, INTERNALS, Service, wrong_words
from tests.transports.ways import (
    next_frame,
)
from tests.wire.wire import MASK, client_frame

# Frames of the sockets.

_MIB: Final = 1 << 20

FRAMES: Final[dict[str, tuple[bytes, int]]] = {
    "a binary message": (client_frame(0x2, b"{}"), 4400),
    "an empty binary message": (client_frame(0x2), 4400),
    "an unmasked frame": (client_frame(0x1, b"{}", mask=False), 1002),
    "an unknown kind of frame": (client_frame(0x3, b"{}"), 1002),
    "an unknown control frame": (client_frame(0xB), 1002),
    "a reserved bit": (bytes((0xC1, 0x82)) + MASK + b"xx", 1002),
    "a continuation of nothing": (client_frame(0x0, b"{}"), 1002),
    "a message within another": (
        client_frame(0x1, b"{", fin=False) + client_frame(0x1, b"}"),
        1002,
    ),
    "a ping in pieces": (client_frame(0x9, b"x", fin=False), 1002),
    "a long ping": (client_frame(0x9, b"x" * 126), 1002),
    "half a close code": (client_frame(0x8, b"\x03"), 1002),
    "a close code that may not be sent": (client_frame(0x8, (1005).to_bytes(2, "big")), 1002),
    "a close with a broken reason": (client_frame(0x8, b"\x03\xe8\xff"), 1007),
    "text that is not UTF-8": (client_frame(0x1, b'{"type":"\xff"}'), 1007),
    "half a character at the end": (client_frame(0x1, b'"\xe2\x82'), 1007),
    "a character cut by a bad piece": (
        client_frame(0x1, b'"\xe2', fin=False) + client_frame(0x0, b'"'),
        1007,
    ),
    "a message over 1 MiB": (client_frame(0x1, b" " * (_MIB + 1)), 1009),
    "pieces over 1 MiB": (
        client_frame(0x1, b" " * (_MIB // 2), fin=False)
        + client_frame(0x0, b" " * (_MIB // 2 + 1), fin=False),
        1009,
    ),
    "a length of 2^63": (bytes((0x81, 0xFF)) + b"\xff" * 8 + MASK, 1002),
    "a length of 4 GiB": (bytes((0x81, 0xFF)) + (1 << 32).to_bytes(8, "big") + MASK, 1009),
    "an empty text": (client_frame(0x1), 4400),
    "no JSON": (client_frame(0x1, b"hello"), 4400),
    "NaN": (client_frame(0x1, b"NaN"), 4400),
    "null": (client_frame(0x1, b"null"), 4400),
    "a list": (client_frame(0x1, b'[{"type":"ping"}]'), 4400),
    "a string": (client_frame(0x1, b'"open"'), 4400),
    "100,000 levels": (client_frame(0x1, b"[" * 100_000), 4400),
    "an object in an object in ...": (client_frame(0x1, b'{"a":' * 50_000), 4400),
    "no type": (client_frame(0x1, b"{}"), 4400),
    "a type that is null": (client_frame(0x1, b'{"type":null}'), 4400),
    "a type that is a list": (client_frame(0x1, b'{"type":["ping"]}'), 4400),
    "an unknown type": (client_frame(0x1, b'{"type":"dance"}'), 4400),
    "a type of 100 kB": (client_frame(0x1, b'{"type":"%b"}' % (b"x" * 100_000)), 4400),
    "a type of the server": (client_frame(0x1, b'{"type":"connection_ack"}'), 4400),
    "a type of the server's": (client_frame(0x1, b'{"type":"ack"}'), 4400),
    "script as a type": (client_frame(0x1, b'{"type":"<script>alert(1)</script>"}'), 4400),
}
ON_GRAPHQL: Final[dict[str, tuple[bytes, int]]] = {
    "connection_init twice": (b'{"type":"connection_init"}', 4429),
    "an init with a list": (b'{"type":"connection_init","payload":[]}', 4400),
    "a start without an id": (b'{"type":"subscribe","payload":{"query":"{ a }"}}', 4400),
    "an id that is a number": (
        b'{"type":"subscribe","id":1,"payload":{"query":"{ a }"}}',
        4400,
    ),
    "an id of 257 characters": (
        b'{"type":"subscribe","id":"%b","payload":{"query":"{ a }"}}' % (b"x" * 257),
        4400,
    ),
    "an empty id": (b'{"type":"subscribe","id":"","payload":{"query":"{ a }"}}', 4400),
    "an end without an id": (b'{"type":"complete"}', 4400),
    "an end of an object": (b'{"type":"complete","id":{}}', 4400),
}
ON_WIDGETS: Final[dict[str, tuple[bytes, int]]] = {
    "open twice": (b'{"type":"open"}', 4409),
    "a type of GraphQL": (b'{"type":"subscribe","id":"1"}', 4400),
    "publish in capitals": (b'{"type":"PUBLISH","data":1}', 4400),
    "an unreadable publish": (b'{"type":"publish","data":}', 4400),
    "two frames in one": (b'{"type":"publish","data":1}{"type":"publish","data":2}', 4400),
}


async def _close_code(
    service: Service, endpoint: Endpoint, said: bytes, *, introduced: bool = True
) -> tuple[int | None, str]:
    """Say raw bytes on an open socket; return the code and the reason of its close."""
    async with opened(service.host, endpoint, introduced=introduced) as socket:
        socket.transport.write(said)
        while not isinstance(await next_frame(socket), int):
            pass
        return socket.close_code, socket.close_reason or ""


def _closes(
    service: Service, table: list[tuple[str, Endpoint, bytes, int]], **how: bool
) -> list[str]:
    async def wrong() -> list[str]:
        found = []
        async with opened(service.host, table[0][1]) as other:
            for name, endpoint, said, code in table:
                came, reason = await _close_code(service, endpoint, said, **how)
                if came != code or INTERNALS.search(reason) or (code >= 4000 and not reason):
                    found.append(f"{name}: {came} {reason!r}")
            # A neighbour notices nothing.
            await (await other.ping())
            assert other.close_code is None
        return found

    found: list[str] = service.run(wrong())
    return found


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_frame_that_is_wrong_closes_its_socket(service: Service, endpoint: str) -> None:
    one = ENDPOINTS[endpoint]
    table = [(name, one, said, code) for name, (said, code) in FRAMES.items()]
    if one is WIDGET:
        table += [
            (name, one, client_frame(0x1, said), code) for name, (said, code) in ON_WIDGETS.items()
        ]
    else:
        for name, (said, code) in ON_GRAPHQL.items():
            words = said
            if one is LEGACY_GRAPHQL:
                words = said.replace(b'"subscribe"', b'"start"').replace(b'"complete"', b'"stop"')
            table.append((name, one, client_frame(0x1, words), code))
    assert _closes(service, table) == []


@pytest.mark.parametrize(
    ("endpoint", "said", "code"),
    [
        ("graphql-transport-ws", b'{"type":"subscribe","id":"1","payload":{"query":"{a}"}}', 4401),
        ("graphql-ws", b'{"type":"start","id":"1","payload":{"query":"{a}"}}', 4401),
        ("widget", b'{"type":"publish","data":1}', 4400),
        ("graphql-transport-ws", b'{"type":"connection_init","payload":{"authToken":"no"}}', 4401),
        ("graphql-ws", b'{"type":"connection_init","payload":{"authToken":"no"}}', 4401),
        ("widget", b'{"type":"open","token":"no"}', 4401),
        ("graphql-transport-ws", b'{"type":"connection_init","payload":{"authToken":7}}', 4401),
        ("graphql-ws", b'{"type":"connection_init","payload":{"authToken":7}}', 4401),
        ("widget", b'{"type":"open","token":7}', 4400),
        ("widget", b'{"type":"open","client_id":"%b"}' % (b"x" * 129), 4400),
        ("widget", rb'{"type":"open","client_id":"a\u0000"}', 4400),
        ("widget", b'{"type":"open","client_id":"signed-a"}', 4401),
        ("widget", b'{"type":"open","persistent":1}', 4400),
        ("widget", b'{"type":"open","after":"nonsense"}', 4400),
        ("widget", b'{"type":"open","after":7}', 4400),
        *((endpoint, b" " * (64 * 1024 + 1), 1009) for endpoint in ENDPOINTS),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_socket_that_begins_badly_is_closed(
    service: Service, endpoint: str, said: bytes, code: int
) -> None:
    table = [(repr(said[:80]), ENDPOINTS[endpoint], client_frame(0x1, said), code)]
    assert _closes(service, table, introduced=False) == []


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_good_message_may_come_in_pieces_of_any_size(service: Service, endpoint: str) -> None:
    one = ENDPOINTS[endpoint]

    async def accepted() -> str:
        async with opened(service.host, one, introduced=False) as socket:
            text = one.first.replace("}", ',"é":"é"}').encode()
            pieces = [client_frame(0x1, text[:1], fin=False)]
            for at in range(1, len(text)):
                pieces += [
                    client_frame(0x9, b"between"),
                    client_frame(0x0, text[at : at + 1], fin=False),
                ]
            for byte in b"".join(pieces) + client_frame(0x0):
                socket.transport.write(bytes((byte,)))
            return str((await next_frame(socket))["type"])

    assert service.run(accepted()) in {"connection_ack", "open"}


# Calls of a widget: the socket lives, and each is answered by its ref.

CALLS: Final[dict[str, tuple[bytes, str]]] = {
    "publish without data": (b'"type":"publish"', BAD),
    "NUL": (rb'"type":"publish","data":"a\u0000"', BAD),
    "NUL in a key": (rb'"type":"publish","data":{"\u0000":1}', BAD),
    "a lone surrogate": (rb'"type":"publish","data":"\ud83d"', BAD),
    "65 levels": (b'"type":"publish","data":' + b"[" * 65 + b"]" * 65, BAD),
    "2,000 levels": (b'"type":"publish","data":' + b"[" * 2_000 + b"]" * 2_000, BAD),
    "5,000 digits": (b'"type":"publish","data":' + b"9" * 5_000, BAD),
    "1e100000": (b'"type":"publish","data":1e100000', BAD),
    "too large": (b'"type":"publish","data":"%b"' % (b"x" * 65_535), "PAYLOAD_TOO_LARGE"),
    "100,001 values": (b'"type":"publish","data":[%b1]' % (b"1," * 100_000), BAD),
    "an id that is a number": (b'"type":"publish","data":1,"id":7', BAD),
    "an empty id": (b'"type":"publish","data":1,"id":""', BAD),
    "an id of 129": (b'"type":"publish","data":1,"id":"%b"' % (b"x" * 129), BAD),
    "an id with a line end": (rb'"type":"publish","data":1,"id":"a\nb"', BAD),
    "on_repeat as none": (b'"type":"publish","data":1,"id":"a","on_repeat":"AGAIN"', BAD),
    "REPLACE on a socket that stores nothing": (
        b'"type":"publish","data":1,"id":"a","on_repeat":"REPLACE"',
        BAD,
    ),
    "retract without ids": (b'"type":"retract"', BAD),
    "retract nothing": (b'"type":"retract","ids":[]', BAD),
    "retract no id": (b'"type":"retract","ids":["nonsense"]', BAD),
    "retract numbers": (b'"type":"retract","ids":[7]', BAD),
    "search for a list": (b'"type":"search","query":[]', BAD),
    "a key that is nearly one": (b'"type":"search","query":{"filter":[]}', BAD),
    "an unknown operator": (
        b'"type":"search","query":{"filters":[{"field":"data","operator":"near","value":1}]}',
        BAD,
    ),
    "a filter of two kinds": (
        b'"type":"search","query":{"filters":[{"field":"data","operator":"=","value":1,"not":{}}]}',
        BAD,
    ),
    "filters that are an object": (b'"type":"search","query":{"filters":{}}', BAD),
    "a limit in words": (b'"type":"search","query":{"limit":"ten"}', BAD),
    "a limit of half": (b'"type":"search","query":{"limit":0.5}', BAD),
    "an order that is none": (b'"type":"search","query":{"sortOrder":"up"}', BAD),
    "a path of 1 kB": (b'"type":"search","query":{"groupBy":"data.%b"}' % (b"x" * 1024), BAD),
    "an unknown cursor": (b'"type":"search","query":{"after":"nonsense"}', "UNKNOWN_CURSOR"),
    "before with groupBy": (b'"type":"search","query":{"before":"x","groupBy":"data"}', BAD),
}


def test_a_widget_s_call_that_is_wrong(service: Service) -> None:
    async def wrong() -> list[str]:
        found = []
        async with connect(f"ws://{service.host}/c8/bad-input/poll", max_size=None) as socket:
            token = service.http.headers["authorization"].removeprefix("Bearer ")
            await socket.send(json.dumps({"type": "open", "token": token}))
            for name, (call, code) in CALLS.items():
                await socket.send(b'{"ref":"%b",%b}' % (name.encode(), call), text=True)
                while (frame := await next_frame(socket))["type"] != "error":
                    assert frame["type"] in {"open", "activeConnections"}, frame
                if (frame["ref"], frame["code"]) != (name, code):
                    found.append(f"{name}: {frame}")
                problem = wrong_words(frame["message"], ())
                if problem:
                    found.append(f"{name}: {problem}")
            assert socket.close_code is None
        return found

    assert service.run(wrong()) == []


REFS: Final = (b"true", b"[]", b"{}", b'"%b"' % (b"x" * 300), b"1" * 300)


@pytest.mark.parametrize("ref", REFS, ids=lambda ref: ref[:8].decode())
def test_a_widget_s_ref_of_a_strange_type_is_refused_without_it(
    service: Service, ref: bytes
) -> None:
    async def told() -> Any:
        async with connect(f"ws://{service.host}/c8/bad-input/poll") as socket:
            await socket.send('{"type":"open"}')
            await socket.send(b'{"type":"search","ref":%b}' % ref, text=True)
            while (frame := await next_frame(socket))["type"] != "error":
                pass
            return frame

    frame = service.run(told())
    assert (frame["code"], frame.get("ref"), "search.ref" in frame["message"]) == (BAD, None, True)
