"""Who is at the other end, as applications, responders and sockets are told."""

import asyncio
import logging
from http import HTTPStatus

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Scope

from app.peer import UNKNOWN_PEER, Peer
from app.telemetry.log_fields import facts_of
from app.wire.exchange import Exchange
from app.wire.http import BoundedHttpProtocol
from app.wire.peer import Peers, peer_of
from app.wire.trusted_proxies import TrustedProxies
from app.wire.upgrade import Upgrade
from tests.transports.raw_http import answer_to, head, served
from tests.wire.echo import Echo
from tests.wire.wire import connected

pytestmark = pytest.mark.anyio

PROXIED = Peers(TrustedProxies(["127.0.0.1"]))
LAST = b"Connection: close"


class Proxied(BoundedHttpProtocol):
    """Trusts this host."""

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__(*args, **named, peers=PROXIED)  # type: ignore[arg-type]


class Noting:
    """Answers everything, and notes whose it is."""

    targets = frozenset({b"/ordinary"})

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.app = Starlette(routes=[Route("/", self._asked)])

    async def _asked(self, request: Request) -> PlainTextResponse:
        self.peers.append(peer_of(request.scope))
        return PlainTextResponse("")

    def respond(self, exchange: Exchange) -> bool:
        self.peers.append(exchange.head.peer)
        exchange.answer(HTTPStatus.OK, b"", b"")
        return True

    def answer(self, upgrade: Upgrade, scope: Scope) -> None:
        self.peers.append(peer_of(scope))
        upgrade.accept(Echo(), subprotocol=None, max_outbound_bytes=1000)


def ordinary(*lines: bytes) -> bytes:
    return head(b"Content-Length: 0", *lines, target=b"/ordinary")


async def test_a_request_and_a_socket_know_their_peer() -> None:
    noting = Noting()
    async with served(app=noting.app, responder=noting, endpoints={"/socket": noting}) as port:
        await answer_to(port, head(LAST, method=b"GET"))
        await answer_to(port, ordinary(LAST))
        async with connected(port, target=b"/socket"):
            pass
    assert [peer.address for peer in noting.peers] == ["127.0.0.1"] * 3
    assert len({peer.connection_id for peer in noting.peers}) == 3


async def test_the_requests_of_one_connection_have_one_id() -> None:
    noting = Noting()
    async with served(app=noting.app, responder=noting) as port:
        get = head(method=b"GET")
        await answer_to(
            port, get, ordinary(), ordinary(), get + head(LAST, method=b"GET"), pause_seconds=0.02
        )
    assert len(noting.peers) == 5
    assert len({peer.connection_id for peer in noting.peers}) == 1


async def test_behind_a_trusted_proxy_each_request_has_a_client_of_its_own() -> None:
    noting = Noting()
    async with served(
        app=noting.app, responder=noting, endpoints={"/socket": noting}, protocol=Proxied
    ) as port:
        await answer_to(
            port,
            ordinary(b"X-Forwarded-For: 203.0.113.1"),
            ordinary(b"X-Forwarded-For: 203.0.113.1"),
            ordinary(b"X-Forwarded-For: 203.0.113.2"),
            ordinary(),
            head(b"X-Forwarded-For: 203.0.113.3", LAST, method=b"GET"),
            pause_seconds=0.02,
        )
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        upgrade = (
            b"GET /socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"X-Forwarded-For: 203.0.113.4\r\n\r\n"
        )
        writer.write(upgrade)
        async with asyncio.timeout(10):
            while len(noting.peers) < 6:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.005)
        writer.close()
    assert [peer.address for peer in noting.peers] == [
        "203.0.113.1",
        "203.0.113.1",
        "203.0.113.2",
        "127.0.0.1",
        "203.0.113.3",
        "203.0.113.4",
    ]
    assert len({peer.connection_id for peer in noting.peers[:5]}) == 1


def test_another_server_tells_no_peer() -> None:
    assert peer_of({"type": "http"}) is UNKNOWN_PEER


class _Transport(asyncio.BaseTransport):
    def __init__(self, peername: object) -> None:
        super().__init__({"peername": peername})


@pytest.mark.parametrize(
    ("peername", "address"),
    [
        (("::ffff:192.0.2.1", 1, 0, 0), "192.0.2.1"),
        (("fe80::1", 1, 0, 3), "fe80::1"),
        ("", "local"),
        (None, "local"),
    ],
)
def test_whatever_connects_has_an_address(peername: object, address: str) -> None:
    assert Peers().of_connection(_Transport(peername)).address == address


async def test_the_access_log_names_the_client_and_not_the_proxy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "app.wire.watched")
    async with served(app=Noting().app, protocol=Proxied, access_log=True) as port:
        await answer_to(port, head(b"X-Forwarded-For: 203.0.113.3", LAST, method=b"GET"))
    (record,) = (one for one in caplog.records if one.name == "app.wire.watched")
    facts = facts_of(record)
    assert facts["address"] == "203.0.113.3"
    assert (facts["method"], facts["path"], facts["status"]) == ("GET", "/", 200)
