"""Whose word on a client's address is taken: `X-Forwarded-For`, and by whom.

The header is a list; each proxy adds, at its end, the address that it was called from. What stands
before the last address that no trusted proxy vouches for is whatever a client wrote there.
"""

from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

__all__ = ["TrustedProxies", "canonical_address"]

_MAX_HOPS: Final = 16
"""Addresses looked at, from the end of the header."""
_HEADER: Final = b"x-forwarded-for"


class TrustedProxies:
    """The proxies whose `X-Forwarded-For` is believed.

    Args:
        networks: addresses and networks (`10.0.0.1`, `10.0.0.0/8`, `2001:db8::/32`).

    Raises:
        ValueError: one of them is neither.
    """

    __slots__ = ("_networks",)

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(network) for network in networks
        )

    def client_address(self, caller: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """Return the address of the client: the rightmost one that is no trusted proxy's.

        Args:
            caller: who opened the TCP connection, as `canonical_address` has it.
            headers: of the request, names in lower case.

        Returns:
            The caller's own address where it is not trusted, sends no such header, one with
            something in it that is no address, or more than 16 trusted hops in a row. Where all
            addresses are trusted proxies', the first of them.
        """
        if not self.trusts(caller):
            return caller
        # RFC 9110, 5.3: several fields of one name are one list.
        listed = b",".join(value for name, value in headers if name == _HEADER)
        if not listed:
            return caller
        hops = listed.rsplit(b",", _MAX_HOPS)
        address = caller
        for hop in reversed(hops[-_MAX_HOPS:]):
            found = _forwarded(hop)
            if found is None:
                return caller
            address = found
            if not self.trusts(address):
                return address
        return caller if len(hops) > _MAX_HOPS else address

    def trusts(self, text: str) -> bool:
        """Return whether an address is a trusted proxy's."""
        if not self._networks:
            return False
        try:
            address = ip_address(text)
        except ValueError:
            return False  # A Unix socket has no address.
        return any(address in network for network in self._networks)


def canonical_address(text: str) -> str:
    """Return an IP address as `Peer.address` has it.

    Args:
        text: an address, perhaps with a zone (`fe80::1%eth0`), which is left out.

    Raises:
        ValueError: it is none.
    """
    if ":" not in text:
        return str(ip_address(text))
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _forwarded(hop: bytes) -> str | None:
    """Return the address of one entry, which some proxies write with a port; None: it is none."""
    text = hop.decode("latin-1").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return canonical_address(text)
    except ValueError:
        return None
