"""Who is at the other end of a connection: what limits, logs and traces know a client by.

Below everything: the wire finds out, and rooms that know no wire pass it on.
"""

from typing import Final

__all__ = ["UNKNOWN_PEER", "Peer"]

_IPV6_NETWORK_BITS: Final = 64


class Peer:
    """A client's address and the connection it comes by.

    Args:
        address: the client's IP address in its canonical form, IPv4 where it is one in IPv6's
            clothes (`::ffff:192.0.2.1`).
        connection_id: made once a connection; letters, digits and a hyphen. Behind a proxy that
            keeps connections open, several clients share one.

    Attributes:
        network: what limits count an address as: an IPv4 address is itself, of an IPv6 address
            the first 64 bits, since every home has as many of the others as it likes.
    """

    __slots__ = ("address", "connection_id", "network")

    def __init__(self, address: str, connection_id: str) -> None:
        self.address = address
        self.connection_id = connection_id
        self.network = _ipv6_network(address) if ":" in address else address

    def __repr__(self) -> str:
        return f"Peer({self.address!r}, {self.connection_id!r})"


def _ipv6_network(address: str) -> str:
    # Canonical text has one "::" at most, for the groups that are 0.
    before, gap, after = address.partition("::")
    groups = before.split(":") if before else []
    if gap:
        behind = after.split(":") if after else []
        groups += ["0"] * (8 - len(groups) - len(behind)) + behind
    return ":".join(groups[: _IPV6_NETWORK_BITS // 16]) + "::/64"


UNKNOWN_PEER: Final = Peer("unknown", "unknown")
"""Of a context that no connection made."""
