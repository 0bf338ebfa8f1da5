"""How many connections each address has open, and the bound on it."""

from typing import Final

from app.peer import Peer
from app.telemetry.counters import COUNTED

__all__ = ["AddressPlaces", "Place"]

_MAX_LEAVING: Final = 1000
"""Refused connections that may stay until they have read why."""


class AddressPlaces:
    """Counts the connections of each address; of an IPv6 address those of its /64 network.

    An address without connections takes no memory.

    Args:
        most: connections of one address; 0: any number, and nothing is counted.
    """

    __slots__ = ("_taken", "leaving", "most")

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self._taken: dict[str, int] = {}
        self.leaving = 0
        """Refused connections that are still there."""

    def take(self, network: str) -> bool:
        """Count a connection; False: its address has as many as it may, and it is not counted."""
        taken = self._taken.get(network, 0)
        if taken >= self.most:
            COUNTED.refusals["limit"] += 1
            return False
        self._taken[network] = taken + 1
        return True

    def give_back(self, network: str) -> None:
        """Uncount a connection that is gone."""
        left = self._taken.pop(network) - 1
        if left:
            self._taken[network] = left


class Place:
    """What one connection is counted as; nothing to begin with.

    Args:
        places: of the server.
    """

    __slots__ = ("_leaving", "_network", "_places")

    def __init__(self, places: AddressPlaces) -> None:
        self._places = places
        self._network: str | None = None
        self._leaving = False

    def take(self, peer: Peer) -> bool:
        """Count the connection as its peer's alone; False: the peer has too many."""
        if peer.network == self._network:
            return True
        self.give_back()
        if not self._places.take(peer.network):
            return False
        self._network = peer.network
        return True

    def may_linger(self) -> bool:
        """Return whether the connection, refused, may stay until it has read why.

        Without a bound, one address could fill the server with what it is refused.
        """
        if self._places.leaving >= _MAX_LEAVING:
            return False
        self._places.leaving += 1
        self._leaving = True
        return True

    def give_back(self) -> None:
        """Uncount the connection: it is gone. Idempotent."""
        network, self._network = self._network, None
        if network is not None:
            self._places.give_back(network)
        if self._leaving:
            self._leaving = False
            self._places.leaving -= 1
