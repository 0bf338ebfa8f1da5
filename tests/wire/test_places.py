"""How many connections an address may have open."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.peer import Peer
from app.wire import places as module
from app.wire.http import BoundedHttpProtocol
from app.wire.peer import Peers
from app.wire.places import AddressPlaces, Place
from app.wire.stream import STREAM, Streaming
from app.wire.trusted_proxies import TrustedProxies
from tests.transports.raw_http import GET, answer_to, head, served
from tests.wire.echo import echo

LAST = GET[:-2] + b"Connection: close\r\n\r\n"
ONE, OTHER = Peer("192.0.2.1", "1"), Peer("192.0.2.2", "2")


def limited(most: int, *proxies: str) -> type[BoundedHttpProtocol]:
    """Return a protocol whose connections share a bound."""
    peers = Peers(TrustedProxies(proxies), most)

    class Limited(BoundedHttpProtocol):
        def __init__(self, *args: object, **named: object) -> None:
            super().__init__(*args, **named, peers=peers)  # type: ignore[arg-type]

    return Limited


def test_an_address_has_so_many_places() -> None:
    places = AddressPlaces(2)
    held = [Place(places) for _ in range(3)]
    assert [place.take(ONE) for place in held] == [True, True, False]
    assert Place(places).take(OTHER)
    held[0].give_back()
    held[0].give_back()
    assert held[2].take(ONE)
    assert not Place(places).take(ONE)


def test_a_connection_counts_for_one_address_at_a_time() -> None:
    places = AddressPlaces(1)
    place = Place(places)
    assert place.take(ONE)
    assert place.take(ONE)
    assert place.take(OTHER)
    assert Place(places).take(ONE)


def test_the_addresses_of_a_network_share_its_places() -> None:
    places = AddressPlaces(1)
    assert Place(places).take(Peer("2001:db8::1", "1"))
    assert not Place(places).take(Peer("2001:db8::2", "2"))


def test_who_is_refused_lingers_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_LEAVING", 1)
    places = AddressPlaces(1)
    first, second = Place(places), Place(places)
    assert first.may_linger()
    assert not second.may_linger()
    second.give_back()
    first.give_back()
    assert second.may_linger()


@pytest.mark.anyio
async def test_one_connection_too_many_is_answered_429_and_leaves_the_others_alone() -> None:
    async with served(protocol=limited(2)) as port:
        url = f"ws://127.0.0.1:{port}/echo"
        async with connect(url) as first:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            refused = await answer_to(port, GET)
            assert refused.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
            assert b"\r\nretry-after: 1\r\n" in refused
            assert refused.endswith(b"too many connections from this address; allowed are 2")
            with pytest.raises(InvalidStatus, match="429"):
                await connect(url)
            await first.send("still here")
            assert await first.recv() == "still here"
            writer.close()
            await writer.wait_closed()
            # A place is free again once its connection is gone.
            async with asyncio.timeout(10):
                while b" 200 OK" not in await answer_to(port, LAST):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_so_many_that_linger_and_the_next_is_closed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MAX_LEAVING", 0)
    async with served(protocol=limited(1)) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await answer_to(port) == b""
        writer.close()


@pytest.mark.anyio
async def test_behind_a_proxy_sockets_count_for_their_clients() -> None:
    """The proxy itself opens as many connections as it needs."""
    app = Starlette(routes=[WebSocketRoute("/echo", echo)])
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(served(app=app, protocol=limited(1, "127.0.0.1")))
        url = f"ws://127.0.0.1:{port}/echo"

        async def open_as(address: str) -> None:
            headers = {"x-forwarded-for": address}
            await stack.enter_async_context(connect(url, additional_headers=headers))

        await open_as("203.0.113.1")
        await open_as("203.0.113.2")
        with pytest.raises(InvalidStatus, match="429"):
            await open_as("203.0.113.2")


@pytest.mark.anyio
async def test_behind_a_proxy_a_stream_that_was_refused_after_all_holds_no_place() -> None:
    """It did for as long as the proxy kept the connection."""

    async def ask(request: Request) -> Response:
        streaming: Streaming = request.scope["extensions"][STREAM]
        return Response(status_code=503 if streaming.take_place() else 429)

    app = Starlette(routes=[Route("/", ask)])
    writers: list[asyncio.StreamWriter] = []
    asked = head(b"X-Forwarded-For: 203.0.113.1", method=b"GET")
    async with served(app=app, protocol=limited(1, "127.0.0.1")) as port:
        for _ in range(3):
            # The connection stays open.
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(asked)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 503 ")
            writers.append(writer)
        for writer in writers:
            writer.close()
