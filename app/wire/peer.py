"""Who is at the other end of each connection and request: makes every `Peer`.

A connection's peer is found out once. A proxy sends the requests of many clients over one
connection, so behind a trusted proxy each request has a peer of its own.
"""

import asyncio
import itertools
import secrets
from collections.abc import Sequence
from sys import intern
from typing import Final

from starlette.types import Scope

from app.peer import UNKNOWN_PEER, Peer
from app.wire.places import AddressPlaces
from app.wire.trusted_proxies import TrustedProxies, canonical_address

__all__ = ["PEER", "Peers", "peer_of"]

PEER: Final = "widgetwire.peer"
"""The key in `scope["extensions"]` under which the `Peer` of a request is found."""


def peer_of(scope: Scope) -> Peer:
    """Return the peer of an ASGI call; `UNKNOWN_PEER` under a server that is not ours."""
    found = scope.get("extensions", {}).get(PEER, UNKNOWN_PEER)
    assert isinstance(found, Peer)
    return found


class Peers:
    """Tells the peers of one server's connections.

    Args:
        trusted: the proxies whose `X-Forwarded-For` is believed.
        max_connections: of one address; 0: any number.

    Attributes:
        places: counts them.
    """

    def __init__(self, trusted: TrustedProxies | None = None, max_connections: int = 0) -> None:
        self._trusted = trusted or TrustedProxies()
        self.places = AddressPlaces(max_connections)
        # Two processes behind one address write into one log.
        self._prefix = secrets.token_hex(3)
        self._numbers = itertools.count(1)

    def of_connection(self, transport: asyncio.BaseTransport) -> Peer:
        """Return who opened a connection, with an id that no other connection has."""
        name = transport.get_extra_info("peername")
        address = _address(name[0] if isinstance(name, tuple) else "")
        return Peer(address, f"{self._prefix}-{next(self._numbers):x}")

    def is_proxy(self, caller: Peer) -> bool:
        """Return whether who opened a connection speaks for others."""
        return self._trusted.trusts(caller.address)

    def of_request(self, caller: Peer, headers: Sequence[tuple[bytes, bytes]]) -> Peer:
        """Return who sent a request: whoever opened its connection, or whom a proxy names.

        Args:
            caller: of the connection.
            headers: of the request, names in lower case.
        """
        address = self._trusted.client_address(caller.address, headers)
        if address == caller.address:
            return caller
        return Peer(intern(address), caller.connection_id)


def _address(text: str) -> str:
    try:
        # Interned: the connections of one address share its text.
        return intern(canonical_address(text))
    except ValueError:
        return "local"  # A Unix socket, or gone already.
